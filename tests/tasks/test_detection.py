# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""The task of many objects: its scores, what is drawn, and a run."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_records import DATA, record
from flax import linen as nn
from forks import Forks

from segjax import data as segdata
from segjax.data import Dataset
from segjax.errors import ExperimentError
from segjax.ops.boxes import Detections
from segjax.tasks import Detection, detection
from segjax.tasks.examined import Examined
from segjax.train import Run


class Several(NamedTuple):
    found: Detections

    def detections(self, max_boxes: int) -> Detections:
        return self.found


@pytest.mark.parametrize(("place", "expected"), [(0, 1.0), (1, 0.5), (2, 1.0)])
def test_what_is_found_where_there_is_no_record_is_not_counted(place, expected):
    """One image has an object, one has none, and one is not there: a wrong box counts in the first two alone."""
    records = [record([[2, 2, 6, 6]], [0]), record([], [])]
    (batch,) = segdata.test_batches(records, 3, max_boxes=2)
    boxes, scores = np.zeros((3, 2, 4), np.float32), np.zeros((3, 2), np.float32)
    labels = np.full((3, 2), -1)
    boxes[0, 0], scores[0, 0], labels[0, 0] = (2, 2, 6, 6), 0.8, 0
    # Right in the first image, a second time and worse; surer than the right one elsewhere.
    boxes[place, 1], scores[place, 1], labels[place, 1] = (2, 2, 6, 6), 0.9 if place else 0.7, 0
    task = Detection(DATA)
    found = Several(Detections(boxes, labels, scores, np.zeros((3, 2, 2))))
    score = task.scores([task.measure(found, batch)])
    assert score["ap50"] == pytest.approx(expected, abs=1e-6)
    assert score["class_ap50"]["b"] is None
    assert (score["ap_small"], score["ap_medium"]) == (pytest.approx(score["ap"]), None)
    by_class = {"class_ap50", "class_ap", "class_f1", "class_threshold"}
    assert set(score) == {"ap50", "ap75", "ap", "ar", "ap_small", "ap_medium", "ap_large"} | by_class


def test_batches_with_room_for_other_numbers_of_boxes_are_scored_together():
    rows = [[2.0, 2, 6, 6], [9, 9, 5, 5], [0, 9, 4, 4]]
    records = [record([rows[0]], [0]), record(rows, [0, 1, 0])]

    def found_in(batch) -> Several:
        boxes, labels, scores = np.zeros((1, 3, 4), np.float32), np.full((1, 3), -1), np.zeros((1, 3), np.float32)
        boxes[0, :1], labels[0, :1], scores[0, :1] = batch["boxes"][0, :1], 0, 0.9  # the first of each image alone
        return Several(Detections(boxes, labels, scores, None))

    task = Detection(DATA)
    apart, alike = (
        task.scores(
            [task.measure(found_in(batch), batch) for batch in segdata.test_batches(records, 1, max_boxes=most)]
        )
        for most in (1, 4)
    )
    assert apart == alike
    assert 0.5 < apart["class_ap50"]["a"] < 1


def test_other_classes_than_the_data_sets_are_refused_as_training_begins():
    found = Several(Detections(np.zeros((1, 2, 4)), np.zeros((1, 2), int), np.zeros((1, 2)), np.zeros((1, 2, 3))))
    with pytest.raises(ExperimentError, match=r"logits is 3, and it must be 2, one for each class"):
        Detection(DATA).count(found, {})


def test_boxes_are_drawn_from_the_score_that_is_best_for_their_class():
    class Fixed(nn.Module):
        @nn.compact
        def __call__(self, image, *, train):
            boxes = jnp.array([[[2, 2, 6, 6], [9, 9, 5, 5], [0, 9, 4, 4], [9, 0, 4, 4]]], jnp.float32)
            labels, scores = jnp.array([[0, 0, 1, 0]]), jnp.array([[0.2, 0.1, 0.25, 0.05]])
            return Several(Detections(boxes, labels, scores, jnp.zeros((1, 4, 2))))

    records = [record([[2, 2, 6, 6]], [0]), record([[2, 2, 6, 6]], [0]), record([], [])]
    drawn = []

    def draw(folder, source, predict, data):
        drawn.extend(predict(source))
        return Examined([], len(source), {}, [], [])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection, "draw_box_predictions", draw)
        examined = Detection(DATA).draw_predictions(Path(), Fixed(), {}, records)
    assert list(examined.details["precision"]) == ["a"]  # no true box is of class b
    assert examined.details["precision"]["a"][:101:50] == pytest.approx([1, 1, 1])
    assert [shown.scores["ap50"] for shown in drawn] == [pytest.approx(1), pytest.approx(1), None]
    # Of class 0 no box below 0.2 is right, and of class 1 none at all.
    found = ["1 of 1 found, 0 wrong", "1 of 1 found, 0 wrong", "0 of 0 found, 1 wrong"]
    assert [shown.caption for shown in drawn] == found
    assert [[line for note in shown.notes for line in note.lines] for shown in drawn] == [["a 0.20"]] * 3


def test_attributes_of_what_was_found_are_calibrated():
    data = Dataset("faces", ("face",), ((255, 0, 0),), lambda split: [], ("happy", "sad"))
    records: Any = [record([[0, 0, 4, 4], [8, 8, 4, 4]], [0, 0])]
    records[0]["attributes"] = np.array([[1.0, np.nan], [0.0, 0.5]], np.float32)
    (batch,) = segdata.test_batches(records, 1, max_boxes=3)
    boxes = np.array([[[8, 8, 4, 4], [0, 1, 4, 4], [0, 8, 4, 4]]], np.float32)
    found = Detections(
        boxes,
        np.zeros((1, 3), int),
        np.array([[0.9, 0.8, 0.7]], np.float32),
        np.ones((1, 3, 1), np.float32),
        np.array([[[0.25, 0.5], [0.75, 0.1], [0.9, 0.9]]], np.float32),
    )
    task = Detection(data)
    measured = jax.device_get(jax.jit(lambda: task.measure(Several(found), batch))())
    # happy: 0.25 where 0 is true and 0.75 where 1 is; sad: 0.5 where 0.5 is, the other one is not known.
    scores = task.scores([measured, measured])  # as of two batches
    assert scores["calibration_error"] == {"happy": pytest.approx(0.25), "sad": pytest.approx(0.0)}
    assert scores["attribute_cross_entropy"] == pytest.approx(-(2 * np.log(0.75) + np.log(0.5)) / 3)
    # The second object alone has both: sad is true, and has the higher score.
    assert scores["attribute_accuracy"] == 1
    assert scores["attribute_recall"] == {"happy": None, "sad": 1}


def test_many_objects_are_learned_and_scored_with_the_images_that_have_none(
    coloured: Path, tmp_path: Path, forks: Forks
):
    run = Run(tmp_path / "run")
    code, said = forks.run("train", coloured, "--many", "--steps", "150", "--out", run.path)
    assert code == 0, said
    scores = run.report()["test"]
    assert scores["ap50"] > 0.95
    assert set(scores["class_ap50"]) == {"red", "blue"}
    trained = [row["train"]["loss"] for row in run.metrics() if "train" in row]
    assert trained[0] > 3 * trained[-1]
    assert (run.path / "curves.png").exists()
    assert (run.path / "predictions.png").exists()
    code, said = forks.run("evaluate", run.path, "--tta", "hflip", "vflip", "--soft-nms", "linear")
    assert code == 0, said
    assert "ap_small" in said
