"""Augmentation inside the training step; that layouts draw the same is seen in test_device_layouts.py."""

import jax
import numpy as np
import optax
import pytest

from segjax import load, losses, ops
from segjax.data import Augment, Dataset, Record
from segjax.errors import ExperimentError
from segjax.models import unet
from segjax.train import Experiment, Layout, Run, train
from segjax.train.augmented import ON_DEVICE, augmented, refuse_host_only

RNG = np.random.default_rng(0)
RECORDS: list[Record] = [
    {
        "image": RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8),
        "mask": RNG.integers(0, 2, (20, 24), dtype=np.uint8),
    }
    for _ in range(6)
]
AUGMENT = Augment(crop=(16, 16), quarter_turns=True, flip_horizontal=True, brightness=0.2)


def test_each_image_draws_by_its_place_in_the_batch_and_boxes_that_leave_are_no_longer_there():
    key = jax.random.key(3)
    boxes = np.array([[[2, 3, 4, 5], [20, 0, 4, 4], [0, 0, 0, 0]]] * 4, np.float32)
    batch = {
        "image": np.stack([RECORDS[0]["image"]] * 4), "boxes": boxes, "labels": np.array([[1, 0, -1]] * 4, np.int32),
        "crowd": np.array([[False, True, False]] * 4), "valid": np.ones(4, bool),
        "size": np.array([[20, 24]] * 3 + [[0, 0]], np.int32), "attributes": np.ones((4, 3, 2), np.float32),
    }  # fmt: skip
    found = jax.jit(lambda batch: augmented(batch, key, AUGMENT, None))(batch)
    knobs = {name: getattr(AUGMENT, name) for name in ON_DEVICE}
    alone = jax.jit(lambda key, image, boxes: ops.augment(key, image, boxes=boxes, **knobs))
    for row in range(4):
        one = alone(jax.random.fold_in(key, row), batch["image"][row], boxes[row])
        np.testing.assert_array_equal(found["image"][row], one.image)
        np.testing.assert_array_equal(found["boxes"][row], one.boxes)
        assert one.stays is not None
        assert not one.stays[2]
        expected = np.where(one.stays, [1, 0, -1], -1)
        assert found["labels"][row].tolist() == expected.tolist()
        assert found["crowd"][row].tolist() == (expected == 0).tolist()
        assert np.isnan(found["attributes"][row]).all(axis=1).tolist() == (expected < 0).tolist()
    assert found["size"].tolist() == [[16, 16]] * 3 + [[0, 0]]
    assert -1 in found["labels"][:, 0], "no crop left the first box out"
    assert len({np.asarray(image).tobytes() for image in found["image"]}) == 4


def experiment(**changes) -> Experiment:
    data = Dataset("noise", ("a", "b"), ((0, 0, 0), (255, 255, 255)), lambda split: RECORDS)
    given = {"steps": 4, "batch_size": 4, "augment": AUGMENT, "augment_on": "device", "evaluate_every": 2}
    return Experiment(unet(2, 4, depth=1), data, losses.cross_entropy, optax.adam(1e-2), **(given | changes))


def test_a_run_trains_on_crops_of_whole_images_and_goes_on_to_the_same_bits(tmp_path):
    whole, parts = (Run.create(tmp_path / name, {"knobs": {}}) for name in ("whole", "parts"))
    train(experiment(), whole)
    train(experiment(steps=2), parts)
    train(experiment(), parts)
    found, expected = (load(run.path, experiment=experiment())[1] for run in (parts, whole))
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), found, expected))


def test_what_a_device_cannot_do_is_refused_before_anything_is_opened():
    with pytest.raises(ExperimentError, match="elastic, jpeg cannot be done on the device"):
        experiment(augment=Augment(jpeg=50, elastic=3.0, flip_vertical=True))
    refuse_host_only(Augment(**{name: getattr(AUGMENT, name) for name in ON_DEVICE}))


def test_strips_of_rows_are_refused(tmp_path):
    with pytest.raises(ExperimentError, match="space is 2, and augmentation on the device"):
        train(experiment(), Run.create(tmp_path / "run", {"knobs": {}}), Layout(space=2))
