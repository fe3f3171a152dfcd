from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score, recall_score

from segjax import metrics

CLASSES = 5
counted = jax.jit(metrics.confusion_matrix, static_argnums=2)


def example(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and mask, with some classes absent from one or both and some pixels ignored."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, rng.integers(1, CLASSES + 1), (2, 6, 7)).astype(np.uint8)
    other = rng.integers(0, rng.integers(1, CLASSES + 1), mask.shape)
    prediction = np.where(rng.random(mask.shape) < 0.6, mask, other)
    mask[rng.random(mask.shape) < rng.uniform(0, 0.9)] = 255
    mask[0, 0, 0] = 0
    return prediction, mask


def assert_matches(ours: np.ndarray, theirs: np.ndarray, present: np.ndarray) -> None:
    """Equal where the class occurs; absent ours is NaN, which scikit-learn has as 0."""
    assert np.array_equal(np.isnan(ours), ~present)
    np.testing.assert_allclose(ours[present], theirs[present], rtol=1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_those_of_scikit_learn(seed):
    prediction, mask = example(seed)
    ours = counted(prediction, mask, CLASSES)
    predicted, true = prediction[mask != 255], mask[mask != 255]
    options = {"labels": np.arange(CLASSES), "average": None, "zero_division": 0}
    in_truth = np.isin(np.arange(CLASSES), true)
    present = in_truth | np.isin(np.arange(CLASSES), predicted)

    assert np.array_equal(ours, confusion_matrix(true, predicted, labels=np.arange(CLASSES)))
    assert metrics.pixel_accuracy(ours) == pytest.approx(accuracy_score(true, predicted))
    recall = np.asarray(recall_score(true, predicted, **options))
    assert_matches(metrics.class_accuracy(ours), recall, in_truth)
    assert metrics.mean_accuracy(ours) == pytest.approx(recall[in_truth].mean())
    jaccard = np.asarray(jaccard_score(true, predicted, **options))
    assert_matches(metrics.iou(ours), jaccard, present)
    assert metrics.mean_iou(ours) == pytest.approx(jaccard[present].mean())
    weighted = jaccard_score(true, predicted, average="weighted")
    assert metrics.frequency_weighted_iou(ours) == pytest.approx(weighted)
    f1 = np.asarray(f1_score(true, predicted, **options))
    assert_matches(metrics.dice(ours), f1, present)
    assert metrics.mean_dice(ours) == pytest.approx(f1[present].mean())


def test_pixels_outside_the_classes_are_not_counted():
    mask = np.array([[[0, 0, 2, 255, 1, 1]]])
    prediction = np.array([[[0, 2, 0, 0, -1, 1]]])
    assert np.array_equal(counted(prediction, mask, 2), [[1, 0], [0, 1]])
    assert np.array_equal(metrics.confusion_matrix(prediction, mask, 2, ignore=1), [[1, 0], [0, 0]])


@pytest.mark.filterwarnings("error")
def test_nothing_counted_has_no_score():
    empty = np.zeros((3, 3), np.int32)
    for score in (metrics.pixel_accuracy, metrics.mean_accuracy, metrics.mean_iou, metrics.mean_dice):
        assert np.isnan(score(empty))
    assert np.isnan(metrics.frequency_weighted_iou(empty))
    assert np.all(np.isnan(metrics.iou(empty)))


def test_totals_beyond_int32_and_float32_stay_exact():
    total = np.array([[2**40, 1], [0, 2**40]], np.int64)
    assert metrics.iou(total)[0] == 2**40 / (2**40 + 1)
    assert metrics.pixel_accuracy(total) < 1


def test_sums_of_classes_have_the_scores_of_the_matrix():
    prediction, mask = example(3)
    matrix, sums = counted(prediction, mask, CLASSES), metrics.class_sums(prediction, mask, CLASSES)
    for score in (metrics.pixel_accuracy, metrics.class_accuracy, metrics.iou, metrics.dice):
        np.testing.assert_array_equal(score(sums), score(matrix))
    assert metrics.frequency_weighted_iou(sums) == metrics.frequency_weighted_iou(matrix)


def test_beyond_255_classes_255_is_one():
    mask = np.array([[[0, 255, 299, 65535]]], np.uint16)
    assert metrics.confusion_matrix(np.array([[[0, 255, 255, 7]]]), mask, 300).sum() == 3
    sums = metrics.class_sums(np.array([[[0, 255, 255, 7]]]), mask, 65_534)
    assert [int(part.sum()) for part in sums] == [2, 3, 3]
    assert metrics.mean_iou(sums) == pytest.approx((1 + 0.5 + 0) / 3)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"prediction has shape \(1, 4, 4\) and the mask \(1, 4, 5\)"):
        metrics.confusion_matrix(np.zeros((1, 4, 4), int), np.zeros((1, 4, 5), int), 3)


def test_a_matrix_that_int32_cannot_count_is_refused():
    mask = np.zeros((1, 4, 4), int)
    assert jax.eval_shape(partial(metrics.confusion_matrix, num_classes=46_340), mask, mask).shape == (46_340, 46_340)
    with pytest.raises(
        ValueError, match=r"^a matrix of 46341 classes has more cells than int32 counts: take class_sums"
    ):
        metrics.confusion_matrix(mask, mask, 46_341)
