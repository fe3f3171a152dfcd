from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import ops


def peaks_by_hand(logits: np.ndarray, most: int) -> list[tuple[float, int, int, int]]:
    """Of one image: cell by cell against its neighbours; of equal peaks the first goes first."""
    height, width, classes = logits.shape
    found = []
    for row in range(height):
        for column in range(width):
            for label in range(classes):
                value = logits[row, column, label]
                around = logits[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2, label]
                if value == around.max() and value > -np.inf:
                    found.append((1 / (1 + np.exp(-np.float64(value))), label, row, column))
    found.sort(key=lambda peak: -peak[0])
    return (found + [(0.0, -1, 0, 0)] * most)[:most]


@pytest.mark.parametrize(
    ("shape", "most"), [((2, 9, 7, 3), 10), ((1, 5, 6, 1), 40), ((2, 1, 1, 2), 5), ((1, 1, 8, 2), 3)]
)
def test_peaks_are_those_of_the_loop(shape, most):
    find = jax.jit(partial(ops.find_peaks, max_boxes=most))

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        logits = rng.integers(-9, 9, shape).astype(np.float32) / 2  # with plateaus
        logits[rng.random(shape) < 0.2] = -np.inf
        peaks = find(logits)
        for image in range(len(logits)):
            scores, labels, rows, columns = zip(*peaks_by_hand(logits[image], most), strict=True)
            np.testing.assert_allclose(peaks.scores[image], scores, rtol=1e-5)
            np.testing.assert_array_equal(peaks.labels[image], labels)
            np.testing.assert_array_equal(peaks.rows[image], rows)
            np.testing.assert_array_equal(peaks.columns[image], columns)

    check()


def test_logits_in_bfloat16_and_without_number():
    logits = jnp.full((1, 4, 5, 2), -3, jnp.bfloat16).at[0, 2, 3, 1].set(2).at[0, 1, 2, 1].set(jnp.nan)
    peaks = jax.jit(partial(ops.find_peaks, max_boxes=2))(logits)
    assert peaks.scores.dtype == jnp.float32
    assert (peaks.labels[0, 0], peaks.rows[0, 0], peaks.columns[0, 0]) == (1, 2, 3)
    assert float(peaks.scores[0, 0]) == pytest.approx(1 / (1 + np.exp(-2)), rel=1e-6)
    assert np.all(np.isfinite(peaks.scores))


def test_no_images_have_no_peaks():
    assert jax.eval_shape(partial(ops.find_peaks, max_boxes=2), jnp.zeros((0, 4, 5, 2))).labels.shape == (0, 2)


def test_boxes_and_values_are_read_where_the_peaks_are():
    rng = np.random.default_rng(0)
    peaks = ops.Peaks(
        scores=jnp.array([[0.9, 0.5, 0.0], [0.8, 0.0, 0.0]]),
        labels=jnp.array([[1, 0, -1], [0, -1, -1]]),
        rows=jnp.array([[4, 0, 0], [2, 0, 0]]),
        columns=jnp.array([[1, 6, 0], [3, 0, 0]]),
    )
    size, offset = rng.normal(size=(2, 2, 5, 7, 2)).astype(np.float32)

    def read(size, offset):
        return ops.boxes_at_peaks(peaks, size, offset, stride=8), ops.values_at_peaks(peaks, offset)

    boxes, values = jax.jit(read)(size, offset)
    for i, j in ((0, 0), (0, 1), (1, 0)):
        row, column = int(peaks.rows[i, j]), int(peaks.columns[i, j])
        w, h = np.maximum(size[i, row, column], 0)
        x, y = offset[i, row, column]
        np.testing.assert_allclose(boxes[i, j], 8 * np.array([column + x - w / 2, row + y - h / 2, w, h]), rtol=1e-5)
        np.testing.assert_array_equal(values[i, j], offset[i, row, column])
    assert np.all(np.asarray(boxes)[[0, 1, 1], [2, 1, 2]] == 0)
    narrow = jax.ShapeDtypeStruct(size.shape, jnp.bfloat16)
    assert jax.eval_shape(read, narrow, narrow)[0].dtype == jnp.float32


@jax.jit
def soft_argmax_and_slope(logits):
    """The positions, and the gradient of every x."""
    at, pull = jax.vjp(ops.soft_argmax, logits)
    return at, pull(jnp.broadcast_to(jnp.array([1.0, 0.0]), at.shape))[0]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_soft_argmax_is_the_mean_position(seed):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(2, 5, 7, 3)) * rng.uniform(0, 30)).astype(np.float32)
    share = np.exp(logits.astype(np.float64) - logits.max((1, 2), keepdims=True))
    share /= share.sum((1, 2), keepdims=True)
    rows, columns = np.mgrid[:5, :7] + 0.5
    x, y = (np.einsum("nhwk,hw->nk", share, at) for at in (columns, rows))
    at, gradient = soft_argmax_and_slope(logits)
    np.testing.assert_allclose(at, np.stack([x, y], -1), rtol=1e-5)
    slope = share * (columns[None, ..., None] - x[:, None, None])
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-5)


def test_soft_argmax_of_extremes():
    far = np.full((1, 4, 6, 2), -1e4, np.float32)
    far[0, 3, 0, 0], far[..., 1] = 1e4, 0
    at, gradient = soft_argmax_and_slope(jnp.asarray(far, jnp.bfloat16))
    np.testing.assert_allclose(at, [[[0.5, 3.5], [3, 2]]], rtol=1e-6)
    assert at.dtype == jnp.float32
    assert np.all(np.isfinite(np.asarray(gradient, np.float32)))
    np.testing.assert_array_equal(soft_argmax_and_slope(jnp.full((1, 1, 1, 2), 5.0))[0], [[[0.5, 0.5]] * 2])


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (partial(ops.find_peaks, max_boxes=3), (4, 4, 2)),
        (partial(ops.find_peaks, max_boxes=3), (1, 4, 0, 2)),
        (partial(ops.find_peaks, max_boxes=0), (1, 4, 4, 2)),
        (ops.soft_argmax, (4, 4, 2)),
        (ops.soft_argmax, (1, 0, 4, 2)),
    ],
)
def test_what_does_not_fit_is_named(call, shape):
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        call(jnp.zeros(shape))


def test_maps_that_are_not_of_the_peaks_are_refused():
    """Sizes of one number gave boxes of three."""
    peaks = ops.find_peaks(jnp.zeros((1, 3, 3, 1)), 2)
    with pytest.raises(ValueError, match=r"^size has shape \(1, 3, 3, 1\) and offset \(1, 3, 3, 2\): expected"):
        ops.boxes_at_peaks(peaks, jnp.zeros((1, 3, 3, 1)), jnp.zeros((1, 3, 3, 2)), stride=4)
    with pytest.raises(ValueError, match=r"^peaks of 1 images need values \(n h w c\), got shape \(2, 3, 3, 1\)\.$"):
        ops.values_at_peaks(peaks, jnp.zeros((2, 3, 3, 1)))
