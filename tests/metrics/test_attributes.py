"""Attributes of objects: against loops in NumPy, in pieces, and under jit."""

import jax
import numpy as np
import pytest

from segjax import losses, metrics

RNG = np.random.default_rng(0)
SCORES = RNG.random((3, 7, 4)).astype(np.float32)
TRUE = RNG.choice([0, 0.25, 0.5, 1], SCORES.shape).astype(np.float32)  # with many ties
TRUE[RNG.random(TRUE.shape) < 0.1] = np.nan


@jax.jit
def counted(scores, true):
    return metrics.attribute_confusion(scores, true), metrics.attribute_cross_entropy_counts(scores, true)


def test_the_likeliest_attributes_are_counted_by_the_true_ones():
    expected = np.zeros((4, 4))
    for scores, true in zip(SCORES.reshape(-1, 4), TRUE.reshape(-1, 4), strict=True):
        if not np.isnan(true).any():
            best = [k for k in range(4) if true[k] == max(true)]
            found = int(np.argmax(scores))
            expected[found if found in best else best[0], found] += 1
    assert 0 < np.trace(expected) < expected.sum() < 21
    np.testing.assert_array_equal(counted(SCORES, TRUE)[0], expected)


def test_cross_entropy_is_that_of_the_loss():
    known, entropy = np.asarray(counted(SCORES, TRUE)[1])
    assert known == (~np.isnan(TRUE)).sum()
    loss = jax.jit(losses.attribute_cross_entropy)(np.log(SCORES / (1 - SCORES)), TRUE)
    assert entropy / known == pytest.approx(float(loss), rel=1e-5)


def test_batches_add_up():
    nobody = np.full_like(TRUE[1:], np.nan)
    for number, whole in enumerate(counted(SCORES, TRUE)):
        alone = [counted(np.roll(SCORES, -i, 0), np.concatenate([TRUE[i : i + 1], nobody]))[number] for i in range(3)]
        np.testing.assert_allclose(sum(alone), whole, rtol=1e-5)


def test_a_score_that_is_sure_and_wrong_is_finite():
    surely_wrong = np.where(TRUE > 0.5, 0, 1).astype(np.float32)
    _, entropy = np.asarray(counted(surely_wrong, TRUE)[1])
    assert 100 < entropy < np.inf


def test_a_score_of_nan_leaves_no_accuracy():
    scores = SCORES.copy()
    scores[0, 0, 1] = np.nan
    confusion, entropy = (np.asarray(each) for each in counted(scores, np.nan_to_num(TRUE)))
    assert np.isnan(metrics.pixel_accuracy(confusion))
    assert np.isnan(entropy[1])


def test_shapes_that_differ_are_refused():
    for count in (metrics.attribute_confusion, metrics.attribute_cross_entropy_counts):
        with pytest.raises(ValueError, match=r"scores have shape \(2, 3\) and attributes \(3,\)"):
            count(np.zeros((2, 3)), np.zeros(3))
