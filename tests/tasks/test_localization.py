# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""The task of one object: its truth and its scores."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from box_records import DATA, record

from segjax import data as segdata
from segjax.errors import ExperimentError
from segjax.models import Located
from segjax.tasks import Localization


class Outputs(NamedTuple):
    box: np.ndarray
    logits: np.ndarray


def test_the_largest_box_that_is_no_crowd_is_the_object():
    records = [
        record([[0, 0, 2, 2], [1, 1, 4, 5], [0, 0, 9, 9]], [0, 1, 0], [False, False, True]),
        record([], []),
        record([[3, 3, 5, 5]], [0], [True]),
    ]
    (batch,) = segdata.test_batches(records, 4, max_boxes=3)
    truth = Localization(DATA).targets(batch)
    np.testing.assert_array_equal(truth.label, [1, -1, -1, -1])
    np.testing.assert_array_equal(truth.box[0], [1, 1, 4, 5])
    assert truth.mask is None


def test_localization_scores_count_each_object_once():
    records = [record([[2, 2, 4, 4]], [label]) for label in (0, 0, 1)]
    task = Localization(DATA)
    box = np.array([[2, 2, 4, 4], [2, 2, 4, 1], [2, 2, 4, 2]], np.float32)  # IoU 1, 1/4, 1/2
    logits = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    measured = []
    for number, batch in enumerate(segdata.test_batches(records, 2, max_boxes=1)):
        outputs = Outputs(np.resize(box[2 * number :], (2, 4)), np.resize(logits[2 * number :], (2, 2)))
        measured.append(np.asarray(task.measure(outputs, batch)))
        with pytest.raises(ExperimentError, match=r"last axis of the model's logits is 1, and it must be 2"):
            task.count(outputs._replace(logits=outputs.logits[:, :1]), batch)
    assert task.scores(measured) == {
        "localization_accuracy": pytest.approx(1 / 3),
        "mean_iou": pytest.approx(1.75 / 3),
        "box_accuracy": pytest.approx(2 / 3),
        "class_accuracy": pytest.approx(2 / 3),
        "accuracy": {"a": 0.5, "b": 0.0},
        "iou": {"a": pytest.approx(0.625), "b": pytest.approx(0.5)},
    }
    assert task.summary(sum(measured))["localization_accuracy"] == pytest.approx(1 / 3)
    nothing = task.scores([np.asarray(task.zero())])
    assert nothing["localization_accuracy"] is None
    assert nothing["iou"] == {"a": None, "b": None}


def test_images_without_an_object_are_drawn_and_scores_of_each_are_those_of_the_split(tmp_path: Path):
    class Fixed(nn.Module):
        @nn.compact
        def __call__(self, image, *, train):
            return Located(jnp.array([[2.0, 2, 30, 30]]), jnp.array([[1.0, 0]]))

    records = [record([], []), record([[4, 4, 12, 12]], [0]), record([[0, 0, 9, 9]], [0], [True])]
    del records[1]["crowd"]
    task = Localization(DATA)
    examined = task.draw_predictions(tmp_path, Fixed(), {}, records)
    measured = [task.measure(Fixed().apply({}, each["image"], train=False), each)
                for each in segdata.test_batches(records, 1, max_boxes=1)]  # fmt: skip
    whole = task.scores([np.asarray(each) for each in measured])
    assert [image["mean_iou"] for image in examined.images] == [None, pytest.approx(whole["mean_iou"]), None]
    assert whole["mean_iou"] == pytest.approx(144 / 196)  # of what lies within the image
    assert [shown.caption for shown in examined.worst] == ["IoU 0.73", "no object"]
    assert sum(row[0] for row in examined.details["calibration"]) == 1


@pytest.mark.parametrize(("name", "said"), [("$x^$", "$x^$"), ("日本", "class 1")])
@pytest.mark.filterwarnings("error:Glyph")
def test_the_name_of_the_true_class_is_written_as_a_font_can(tmp_path: Path, name: str, said: str):
    class Fixed(nn.Module):
        @nn.compact
        def __call__(self, image, *, train):
            return Located(jnp.array([[2.0, 2, 30, 30]]), jnp.array([[1.0, 0]]))

    task = Localization(replace(DATA, class_names=("a", name)))
    examined = task.draw_predictions(tmp_path, Fixed(), {}, [record([[4, 4, 12, 12]], [1])])
    assert examined.worst[0].caption == f"IoU 0.73, but {said}"
