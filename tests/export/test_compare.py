import numpy as np
import pytest

from segjax.export.compare import largest_difference

GIVEN = {"probabilities": np.array([[[[0.7, 0.3], [0.5, 0.5]]]], np.float32)}
BOXES = {
    "boxes": np.array([[[0, 0, 10, 10], [5, 5, 2, 2], [9, 9, 1, 1]]], np.float32),
    "labels": np.array([[1, 0, 0]]),
    "scores": np.array([[0.9, 0.8, 0.1]], np.float32),
}


def test_probabilities_and_the_class_that_is_less_probable():
    assert largest_difference(GIVEN, {"probabilities": GIVEN["probabilities"] + 0.25}, (1, 2)) == pytest.approx(0.25)
    assert largest_difference(GIVEN, {"mask": np.array([[[0, 1]]], np.uint8)}, (1, 2)) == 0
    assert largest_difference(GIVEN, {"mask": np.array([[[1, 1]]], np.uint8)}, (1, 2)) == pytest.approx(0.4)
    assert largest_difference(GIVEN, {"probabilities": GIVEN["probabilities"] * np.nan}, (1, 2)) == np.inf


def test_a_label_on_the_other_side_of_its_threshold():
    mask = np.array([[[[1, 0], [0, 1]]]], np.uint8)
    assert largest_difference(GIVEN, {"mask": mask}, (1, 2), (0.6, 0.5)) == 0
    assert largest_difference(GIVEN, {"mask": mask}, (1, 2), (0.6, 0.2)) == pytest.approx(0.1)


def test_boxes_have_no_order_and_the_last_may_be_another():
    turned = {name: values[:, [1, 0, 2]] for name, values in BOXES.items()}
    turned["boxes"] = turned["boxes"] + np.array([[[0, 0, 0, 0], [0, 0, 0, 2], [50, 0, 0, 0]]], np.float32)
    assert largest_difference(BOXES, turned, (20, 40)) == pytest.approx(0.1)  # 2 pixels of 20 rows
    assert largest_difference(BOXES, BOXES | {"scores": BOXES["scores"] - 0.2}, (20, 40)) == pytest.approx(0.2)
    assert largest_difference(BOXES, BOXES | {"labels": np.array([[0, 0, 0]])}, (20, 40)) == np.inf


@pytest.mark.parametrize("name", ["boxes", "scores"])
def test_boxes_without_a_number_are_infinitely_far(name: str):
    nothing = BOXES | {name: BOXES[name] * np.float32(np.nan)}
    assert largest_difference(BOXES, nothing, (20, 40)) == np.inf


def test_no_boxes_at_all():
    none = {"boxes": np.zeros((1, 2, 4)), "labels": np.full((1, 2), -1), "scores": np.zeros((1, 2))}
    assert largest_difference(none, none, (20, 40)) == 0
    assert largest_difference(none, none | {"scores": np.array([[0.5, 0]])}, (20, 40)) == 0.5


def test_an_object_that_is_there_besides_is_infinitely_far():
    one = {name: values[:, :1] for name, values in BOXES.items()}
    one = {name: np.pad(values, ((0, 0), (0, 2), (0, 0))[: values.ndim]) for name, values in one.items()}
    one["labels"][:, 1:] = -1
    assert largest_difference(one, one, (20, 40)) == 0
    for expected, found in ((one, BOXES), (BOXES, one)):
        assert largest_difference(expected, found, (20, 40)) == np.inf
