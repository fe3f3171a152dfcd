"""What holds for every metric: batches and padding cannot change it."""

from functools import partial

import jax
import numpy as np
import pytest

from segjax import metrics

CLASSES = 3
COUNTS = {
    "confusion_matrix": jax.jit(partial(metrics.confusion_matrix, num_classes=CLASSES)),
    "boundary_iou_counts": jax.jit(partial(metrics.boundary_iou_counts, num_classes=CLASSES)),
    "boundary_f1_counts": partial(metrics.boundary_f1_counts, num_classes=CLASSES),
    "hausdorff_95_counts": partial(metrics.hausdorff_95_counts, num_classes=CLASSES),
    "calibration_counts": jax.jit(
        lambda prediction, mask: metrics.calibration_counts(5 * jax.nn.one_hot(prediction, CLASSES), mask)
    ),
}

ELSEWHERE = {  # tests of their own: what is read from counts, of labels, boxes and attributes, and of logits alone
    "ClassSums", "DetectionScores", "LabelScores", "LocalizationScores", "attribute_calibration_counts",
    "attribute_confusion", "attribute_cross_entropy_counts", "best_thresholds", "boundary_f1", "boundary_iou",
    "checkerboard_score", "class_accuracy", "class_sums", "detection_scores", "dice", "expected_calibration_error",
    "frequency_weighted_iou", "hausdorff_95", "iou", "label_counts", "label_scores", "localization_counts",
    "localization_scores", "mean_accuracy", "mean_boundary_f1", "mean_boundary_iou", "mean_dice", "mean_hausdorff_95",
    "mean_iou", "pixel_accuracy", "power_spectrum",
}  # fmt: skip


def test_no_metric_is_forgotten():
    assert COUNTS.keys() | ELSEWHERE == set(metrics.__all__)
    assert not COUNTS.keys() & ELSEWHERE


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_batches_and_padding_change_nothing(counts):
    rng = np.random.default_rng(0)
    prediction, mask = rng.integers(0, CLASSES, (2, 5, 9, 11))
    mask[2, :4] = 255
    padding = np.full((2, 9, 11), 255)
    whole = np.asarray(counts(prediction, mask))
    assert whole.sum() > 0

    pieces = [
        np.asarray(counts(np.concatenate([prediction[one], padding % CLASSES]), np.concatenate([mask[one], padding])))
        for one in (slice(0, 2), slice(2, 4))
    ]
    pieces.append(np.asarray(counts(prediction[4:], mask[4:])))
    np.testing.assert_allclose(sum(pieces), whole, rtol=1e-6)
    assert np.all(np.asarray(counts(prediction, np.full_like(mask, 255))) == 0)


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_where_there_are_64_bits_counts_are_the_same(counts):
    prediction, mask = np.random.default_rng(2).integers(0, CLASSES, (2, 5, 9, 11))
    expected = np.asarray(counts(prediction, mask))
    with jax.enable_x64(True):
        found = np.asarray(counts(prediction, mask))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_what_is_ignored_may_be_below_0_as_well(counts):
    prediction, mask = np.random.default_rng(1).integers(0, CLASSES, (2, 5, 9, 11))
    mask[1:3, 2:6, 3:8] = 255
    signed = np.where(mask == 255, -1, mask)
    signed[2] = np.where(mask[2] == 255, -7, mask[2])
    np.testing.assert_array_equal(counts(prediction, signed), counts(prediction, mask))


@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
def test_a_mask_of_real_numbers_is_refused(counts):
    with pytest.raises(ValueError, match=r"the mask has dtype float32: expected an integer class for each pixel\."):
        counts(np.zeros((1, 9, 11), int), np.zeros((1, 9, 11), np.float32))
