import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import metrics

CLASSES = 4


def contour(region: np.ndarray) -> np.ndarray:
    """Points of a region with one of four neighbours outside it or outside the image."""
    points = []
    for i, j in np.argwhere(region):
        around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        if not all(0 <= a < region.shape[0] and 0 <= b < region.shape[1] and region[a, b] for a, b in around):
            points.append((i, j))
    return np.array(points, float).reshape(-1, 2)


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distance of each point to the nearest of the others, all pairs tried."""
    return np.sqrt(((points[:, None] - others[None]) ** 2).sum(-1)).min(1)


def percentile_95(distances: np.ndarray) -> float:
    """Between the two nearest ranks, linearly."""
    ordered = np.sort(distances)
    position = 0.95 * (len(ordered) - 1)
    low = int(position)
    return ordered[low] + (position - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def expected_counts(prediction: np.ndarray, mask: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    f1, hausdorff = np.zeros((2, CLASSES + 1)), np.zeros((2, CLASSES))
    for one, true in zip(prediction, mask, strict=True):
        diagonal = np.sqrt(true.shape[0] ** 2 + true.shape[1] ** 2)
        scores = []
        for c in range(CLASSES):
            ours, theirs = contour((one == c) & (true != 255)), contour(true == c)
            if len(ours) + len(theirs) == 0:
                continue
            if len(ours) and len(theirs):
                there, back = nearest(ours, theirs), nearest(theirs, ours)
                precision, recall = (there < tolerance * diagonal).mean(), (back < tolerance * diagonal).mean()
                scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
                hausdorff[:, c] += [max(percentile_95(there), percentile_95(back)), 1]
            else:
                scores.append(0.0)
                hausdorff[:, c] += [diagonal, 1]
            f1[:, c] += [scores[-1], 1]
        if scores:
            f1[:, -1] += [np.mean(scores), 1]
    return f1, hausdorff


def example(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(0, rng.integers(1, CLASSES + 1), (3, 3, 4)), np.ones((1, 4, 5), int))[:, :11, :17]
    prediction = np.roll(mask, rng.integers(-3, 4, 2), (1, 2))
    prediction[rng.random(mask.shape) < 0.03] = rng.integers(CLASSES)
    mask[rng.random(mask.shape) < rng.choice([0, 0.05])] = 255
    mask[2, : rng.integers(12)] = 255
    return prediction, mask


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_counts_are_their_definitions(seed):
    prediction, mask = example(seed)
    f1, hausdorff = expected_counts(prediction, mask, tolerance=0.1)
    np.testing.assert_allclose(metrics.boundary_f1_counts(prediction, mask, CLASSES, tolerance=0.1), f1)
    np.testing.assert_allclose(metrics.hausdorff_95_counts(prediction, mask, CLASSES), hausdorff)


def test_scores_are_means_over_the_images_a_class_occurs_in():
    f1 = np.array([[1.5, 0.0, 0.25, 1.0], [2, 0, 1, 2]])
    np.testing.assert_allclose(metrics.boundary_f1(f1), [0.75, np.nan, 0.25])
    assert metrics.mean_boundary_f1(f1) == 0.5
    hausdorff = np.array([[6.0, 0.0, 1.0], [2, 0, 1]])
    np.testing.assert_allclose(metrics.hausdorff_95(hausdorff), [3, np.nan, 1])
    assert metrics.mean_hausdorff_95(hausdorff) == 2


def test_a_shift_by_two_pixels_is_two_pixels_apart():
    mask = np.zeros((1, 200, 200), np.uint8)
    mask[0, 50:100, 60:120] = 1
    prediction = np.roll(mask, 2, axis=2)
    assert metrics.hausdorff_95(metrics.hausdorff_95_counts(prediction, mask, 2))[1] == 2
    # 0.0075 of the diagonal of 283 pixels is 2.1; with 0.007 it is 1.98, and the left and right sides no longer match.
    assert metrics.boundary_f1(metrics.boundary_f1_counts(prediction, mask, 2))[1] == 1
    assert metrics.boundary_f1(metrics.boundary_f1_counts(prediction, mask, 2, tolerance=0.007))[1] < 0.75


def test_a_perfect_prediction_and_one_that_misses_the_class():
    mask = np.zeros((1, 30, 40), np.uint8)
    mask[0, 10:20, 10:20] = 2
    assert metrics.mean_boundary_f1(metrics.boundary_f1_counts(mask, mask, 3)) == 1
    assert metrics.mean_hausdorff_95(metrics.hausdorff_95_counts(mask, mask, 3)) == 0
    missed = np.zeros_like(mask)
    assert metrics.boundary_f1(metrics.boundary_f1_counts(missed, mask, 3))[2] == 0
    assert metrics.hausdorff_95(metrics.hausdorff_95_counts(missed, mask, 3))[2] == 50  # the diagonal


def test_one_pixel():
    one = np.zeros((1, 1, 1), int)
    assert metrics.mean_boundary_f1(metrics.boundary_f1_counts(one, one, 1)) == 1
    assert metrics.hausdorff_95_counts(one, one, 1).tolist() == [[0], [1]]


@pytest.mark.parametrize("counts", [metrics.boundary_f1_counts, metrics.hausdorff_95_counts])
def test_shapes_that_differ_are_refused(counts):
    with pytest.raises(ValueError, match=r"prediction has shape \(1, 4, 4\) and the mask \(1, 4, 5\)"):
        counts(np.zeros((1, 4, 4), int), np.zeros((1, 4, 5), int), 3)


@pytest.mark.parametrize("counts", [metrics.boundary_f1_counts, metrics.hausdorff_95_counts])
@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5, 1)])
def test_one_image_without_a_batch_is_refused(counts, shape):
    """The distances between contours were those within each of its rows."""
    image = np.zeros(shape, int)
    with pytest.raises(ValueError, match=r"the mask \([\d, ]*\): expected \(n, h, w\) twice\.$"):
        counts(image, image, 3)
