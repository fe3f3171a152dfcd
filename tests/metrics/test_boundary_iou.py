from functools import partial

import cv2
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import metrics

CLASSES = 4


def boundary(region: np.ndarray, ratio: float) -> np.ndarray:
    """The authors' recipe: pad by one, erode by 3x3 as often as the distance has pixels, take away from the mask."""
    height, width = region.shape
    times = max(1, round(ratio * np.sqrt(height**2 + width**2)))
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=times)
    return region & (eroded[1:-1, 1:-1] == 0)


def example(seed: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Blobs of classes, the prediction shifted a little, some ignored."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, rng.integers(1, CLASSES + 1), (2, 4, 5)).astype(np.uint8)
    mask = np.stack([cv2.resize(one, size[::-1], interpolation=cv2.INTER_NEAREST) for one in coarse])
    prediction = np.roll(mask, rng.integers(-2, 3, 2), (1, 2))
    prediction[rng.random(mask.shape) < 0.02] = 1
    mask[rng.random(mask.shape) < rng.choice([0, 0.01])] = 255
    mask[1, : rng.integers(6), 2:9] = 255
    return prediction, mask


@pytest.mark.parametrize(("size", "ratio"), [((41, 53), 0.02), ((60, 30), 0.05), ((1, 9), 0.02)])
def test_counts_are_the_authors(size, ratio):
    counted = jax.jit(partial(metrics.boundary_iou_counts, dilation_ratio=ratio), static_argnums=2)

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        prediction, mask = example(seed, size)
        expected = np.zeros((2, CLASSES), int)
        for one, true in zip(prediction, mask, strict=True):
            for c in range(CLASSES):
                ours, theirs = boundary((one == c) & (true != 255), ratio), boundary(true == c, ratio)
                expected[:, c] += (ours & theirs).sum(), (ours | theirs).sum()
        counts = counted(prediction, mask, CLASSES)
        assert np.array_equal(counts, expected)
        score = metrics.boundary_iou(counts)
        present = expected[1] > 0
        assert np.array_equal(np.isnan(score), ~present)
        np.testing.assert_allclose(score[present], expected[0, present] / expected[1, present])
        assert metrics.mean_boundary_iou(counts) == pytest.approx(score[present].mean())

    check()


def test_the_inside_does_not_matter():
    mask = np.zeros((1, 100, 100), int)
    mask[0, 20:80, 20:80] = 1
    prediction = mask.copy()
    prediction[0, 45:55, 45:55] = 0  # a hole that touches no boundary region of the truth
    intersection, union = np.asarray(metrics.boundary_iou_counts(prediction, mask, 2))
    assert intersection[1] == 60**2 - 54**2
    assert union[1] == intersection[1] + 16**2 - 10**2


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"prediction has shape \(1, 4, 4\) and the mask \(1, 4, 5\)"):
        metrics.boundary_iou_counts(np.zeros((1, 4, 4), int), np.zeros((1, 4, 5), int), 3)


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5, 1)])
def test_one_image_without_a_batch_is_refused(shape):
    image = np.zeros(shape, int)
    with pytest.raises(ValueError, match=r"the mask \([\d, ]*\): expected \(n, h, w\) twice\.$"):
        metrics.boundary_iou_counts(image, image, 3)
