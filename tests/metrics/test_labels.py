"""Scores of labels that may overlap, against scikit-learn's at every threshold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as theirs

from segjax import metrics
from segjax.metrics.labels import BINS, probability_counts

counted = jax.jit(metrics.label_counts)


def example(n: int = 3, k: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = (3 * rng.normal(size=(n, 7, 5, k))).astype(np.float32)
    mask = (logits + 2 * rng.normal(size=logits.shape) > 0.5).astype(np.uint8)
    mask[rng.random(mask.shape) < 0.2] = 255
    return logits, mask


def test_scores_are_those_of_scikit_learn_at_every_threshold():
    logits, mask = example()
    counts = np.asarray(counted(logits, jnp.asarray(mask)))
    assert counts.sum() == (mask < 255).sum()
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    for thresholds in ((0.5, 0.5), (0.25, 0.75), (1 / 64, 63 / 64)):
        whole = metrics.label_scores(counts.sum(0), np.array(thresholds))
        each = metrics.label_scores(counts, np.array(thresholds))
        for label, threshold in enumerate(thresholds):
            for found, chosen in ((whole, slice(None)), *((type(each)(*(s[i] for s in each)), [i]) for i in range(3))):
                true, there = mask[chosen][..., label], mask[chosen][..., label] < 255
                both = true[there], (probability[chosen][..., label] >= threshold)[there]
                expected = [
                    theirs.jaccard_score(*both), theirs.f1_score(*both), theirs.precision_score(*both),
                    theirs.recall_score(*both),
                ]  # fmt: skip
                np.testing.assert_allclose([score[label] for score in found], expected, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_counts_of_jax_are_added_up_exactly_as_well():
    """On the device they were float32, which ends at 2^24."""
    counts = np.zeros((1, BINS, 2), np.int32)
    counts[0, [0, -1], 1] = 1, 2**24 + 1
    half = np.array([0.5])
    assert metrics.label_scores(jnp.asarray(counts), half).recall.item() == (2**24 + 1) / (2**24 + 2)
    assert metrics.label_scores(counts, half).recall.item() == (2**24 + 1) / (2**24 + 2)


def test_the_best_threshold_is_that_of_the_best_dice():
    logits, mask = example()
    counts = np.asarray(counted(logits - 1.5, jnp.asarray(mask))).sum(0)
    best = metrics.best_thresholds(counts)
    levels = np.arange(1, BINS) / BINS
    dice = np.array([metrics.label_scores(counts, np.full(2, level)).dice for level in levels])
    np.testing.assert_array_equal(metrics.label_scores(counts, best).dice, dice.max(0))
    assert (best < 0.5).all()
    assert metrics.best_thresholds(np.zeros((1, BINS, 2), int)).tolist() == [0.5]


def test_a_logit_of_nan_is_wrong_at_every_threshold():
    mask = np.array([[[[0], [1], [1]]]])
    logits = np.array([[[[np.nan], [np.nan], [3.0]]]], np.float32)
    counts = np.asarray(counted(logits, mask))
    np.testing.assert_array_equal(probability_counts(1 / (1 + np.exp(-logits[0])), mask[0]), counts[0])
    nothing = np.full_like(mask, -1)
    assert not probability_counts(logits[0], nothing[0]).any()
    assert not np.asarray(counted(logits, nothing)).any()
    for threshold in (1 / 64, 0.5, 63 / 64):
        scores = metrics.label_scores(counts.sum(0), np.array([threshold]))
        assert (scores.precision.item(), scores.recall.item()) == ((0.5, 0.5) if threshold < 0.9 else (0, 0))


def test_a_label_that_is_nowhere_has_no_score_and_padding_counts_nothing():
    logits, mask = np.full((2, 4, 4, 1), -3, np.float32), np.zeros((2, 4, 4, 1), np.uint8)
    mask[1] = 255
    counts = np.asarray(counted(logits, jnp.asarray(mask)))
    assert counts.sum(axis=(1, 2, 3)).tolist() == [16, 0]
    scores = metrics.label_scores(counts, np.array([0.5]))
    assert all(np.isnan(score).all() for score in scores)
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 1\) and the mask \(2, 4, 4\)"):
        metrics.label_counts(jnp.asarray(logits), jnp.asarray(mask[..., 0]))
