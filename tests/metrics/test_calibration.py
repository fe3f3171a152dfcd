from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import metrics


def expected_counts(logits: np.ndarray, mask: np.ndarray, bins: int) -> np.ndarray:
    """Pixel by pixel into bins that hold their upper end, as Guo et al. 2017 write it."""
    logits = logits.astype(np.float64)
    probability = np.exp(logits - logits.max(-1, keepdims=True))
    probability /= probability.sum(-1, keepdims=True)
    counts = np.zeros((bins, 3))
    for p, y in zip(probability[mask != 255], mask[mask != 255], strict=True):
        m = next(m for m in range(bins) if p.max() <= (m + 1) / bins or m == bins - 1)
        counts[m] += [1, p.max(), p.argmax() == y]
    return counts


@pytest.mark.parametrize(("classes", "bins"), [(4, 15), (2, 10)])
def test_it_is_its_definition(classes, bins):
    counted = jax.jit(partial(metrics.calibration_counts, bins=bins))

    @settings(max_examples=15, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        logits = (rng.normal(size=(2, 6, 7, classes)) * rng.uniform(0, 6)).astype(np.float32)
        mask = rng.integers(0, classes, (2, 6, 7))
        mask[rng.random(mask.shape) < 0.3] = 255
        expected = expected_counts(logits, mask, bins)
        counts = counted(logits, mask)
        np.testing.assert_allclose(counts, expected, rtol=1e-5)
        gaps = [pixels * abs(right / pixels - sure / pixels) for pixels, sure, right in expected if pixels]
        error = metrics.expected_calibration_error(counts)
        assert error == pytest.approx(sum(gaps) / (mask != 255).sum(), abs=1e-6)

    check()


def test_a_sure_model_errs_as_often_as_it_is_wrong():
    logits = jnp.full((1, 2, 5, 3), -1e4, jnp.bfloat16).at[..., 1].set(1e4)
    mask = np.ones((1, 2, 5), int)
    mask[0, 0, :3] = 2
    assert metrics.expected_calibration_error(metrics.calibration_counts(logits, mask)) == pytest.approx(0.3)


def test_many_pixels_in_one_bin_are_summed_without_loss():
    logits = jnp.broadcast_to(jnp.array([2.0, 0.0, 0.0]), (1, 1024, 1024, 3))
    counts = jax.jit(metrics.calibration_counts)(logits, np.zeros((1, 1024, 1024), np.uint8))
    pixels, confidence, right = np.asarray(counts, np.float64).sum(0)
    assert pixels == right == 1024**2
    assert confidence / pixels == pytest.approx(np.exp(2) / (np.exp(2) + 2), rel=1e-5)


def test_nothing_counted_has_no_error():
    counts = metrics.calibration_counts(np.zeros((1, 2, 2, 3), np.float32), np.full((1, 2, 2), 255))
    assert np.all(np.asarray(counts) == 0)
    assert np.isnan(metrics.expected_calibration_error(counts))


def test_shapes_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 3\) and the mask \(1, 4, 5\)"):
        metrics.calibration_counts(np.zeros((1, 4, 4, 3)), np.zeros((1, 4, 5), int))


def test_attributes_are_binned_by_their_scores_where_they_are_annotated():
    bins = 10
    counts_of = jax.jit(partial(metrics.attribute_calibration_counts, bins=bins))

    @settings(max_examples=10, deadline=None, derandomize=True)
    @given(st.integers(0, 2**32 - 1))
    def check(seed):
        rng = np.random.default_rng(seed)
        scores = rng.random((2, 9, 3)).astype(np.float32)
        scores[0, :2] = [[0, 1, 0.5], [1, 0.2, 0]]
        attributes = rng.choice([0, 1, 0.5, np.nan], scores.shape).astype(np.float32)
        expected = np.zeros((3, bins, 3))
        for i, j, k in np.argwhere(~np.isnan(attributes)):
            p = scores[i, j, k]
            m = next(m for m in range(bins) if p <= np.float32((m + 1) / bins) or m == bins - 1)
            expected[k, m] += [1, p, attributes[i, j, k]]
        counts = np.asarray(counts_of(scores, attributes))
        np.testing.assert_allclose(counts, expected, rtol=1e-5)
        gaps = np.abs(expected[..., 1] - expected[..., 2]).sum(1) / expected[..., 0].sum(1)
        errors = [metrics.expected_calibration_error(each) for each in counts]
        np.testing.assert_allclose(errors, gaps, rtol=1e-5)

    check()


def test_attributes_nobody_annotated_have_no_error():
    counts = metrics.attribute_calibration_counts(np.full((2, 3), 0.5), np.full((2, 3), np.nan))
    assert np.all(np.asarray(counts) == 0)
    assert np.isnan(metrics.expected_calibration_error(counts.sum(0)))
    with pytest.raises(ValueError, match=r"scores have shape \(2, 3\) and attributes \(3,\)"):
        metrics.attribute_calibration_counts(np.zeros((2, 3)), np.zeros(3))
