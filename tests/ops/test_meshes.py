import inspect
from typing import Any

import pytest
from on_devices import found_on

from segjax import losses, metrics, ops

# On the host, of sums that are there already, or made of others.
WITHOUT = {
    ops: set(),
    ops.boxes: {"letterbox"},
    losses: {"deep_supervision", "weighted_sum"},
    metrics: {
        "best_thresholds", "boundary_f1", "boundary_f1_counts", "class_accuracy", "detection_scores", "dice",
        "frequency_weighted_iou", "hausdorff_95", "hausdorff_95_counts", "iou", "label_scores", "mean_accuracy",
        "mean_boundary_f1", "mean_dice", "mean_hausdorff_95", "mean_iou", "pixel_accuracy",
    },
}  # fmt: skip


@pytest.mark.parametrize("room", WITHOUT, ids=lambda room: room.__name__)
def test_every_op_loss_and_metric_of_arrays_says_so(room: Any):
    functions = {name: getattr(room, name) for name in room.__all__ if inspect.isfunction(getattr(room, name))}
    texts = {name: inspect.getsource(inspect.unwrap(function)) for name, function in functions.items()}
    assert {name for name, text in texts.items() if "@on_any_mesh\n" not in text} == WITHOUT[room]


def test_everything_has_its_gradients_on_an_explicit_mesh_and_inside_shard_map():
    found = found_on(2, "on_meshes.py")
    assert len(found) > 50
    for name, miss in found.items():
        assert max(miss.values()) < 1e-5, (name, miss)
