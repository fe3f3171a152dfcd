import numpy as np
import pytest
from scipy import stats

from benchmarks.upsampling import statistics


def table(operators: int, seeds: int, rng: np.random.Generator, noise: float = 0.01) -> np.ndarray:
    """Scores that have no cause but the seed and chance."""
    return 0.7 + 0.05 * rng.normal(size=seeds) + noise * rng.normal(size=(operators, seeds))


def test_a_mean_has_students_interval():
    scores = np.random.default_rng(0).normal(size=5)
    found = statistics.mean(scores)
    low, high = stats.t.interval(0.95, 4, scores.mean(), stats.sem(scores))
    assert found[:3] == pytest.approx((scores.mean(), low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(scores, 0)[1])


def test_two_operators_give_the_paired_t_test():
    first, second = table(2, 4, np.random.default_rng(1))
    found = statistics.against({"control": second, "other": first}, "control")["other"].difference
    paired = stats.ttest_rel(first, second)
    interval = paired.confidence_interval(0.95)
    assert found == pytest.approx((np.mean(first - second), interval.low, interval.high, paired.pvalue))


def test_a_contrast_is_that_of_least_squares():
    """Operators and seeds as columns of zeros and ones, the textbook's two-way analysis of variance."""
    rng = np.random.default_rng(2)
    operators, seeds = 5, 3
    scores = table(operators, seeds, rng)
    weights = np.array([0.5, 0.5, 0, -1, 0])
    which, seed = (axis.ravel() for axis in np.indices(scores.shape))
    design = np.hstack([np.eye(operators)[which], np.eye(seeds)[seed][:, 1:]])
    coefficients, residue, rank, _ = np.linalg.lstsq(design, scores.ravel(), rcond=None)
    freedom = scores.size - rank
    picked = np.concatenate([weights, np.zeros(seeds - 1)])
    error = np.sqrt(residue[0] / freedom * picked @ np.linalg.inv(design.T @ design) @ picked)
    value = picked @ coefficients
    reach = stats.t(freedom).ppf(0.975) * error
    p = 2 * stats.t(freedom).cdf(-abs(value / error))
    assert statistics.contrast(scores, weights) == pytest.approx((value, value - reach, value + reach, p))
    with pytest.raises(ValueError, match="add up to zero"):
        statistics.contrast(scores, abs(weights))


def test_holm_is_stepwise_bonferroni():
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.9, 0.8]) == [1, 1]
    rng = np.random.default_rng(3)
    for _ in range(20):
        p = rng.random(6)
        adjusted = statistics.holm(p)
        for level in (0.05, 0.3, 0.7):
            rejected, left = set(), sorted(range(6), key=lambda i: p[i])
            while left and p[left[0]] * len(left) <= level:
                rejected.add(left.pop(0))
            assert rejected == {i for i in range(6) if adjusted[i] <= level}


def test_the_same_operator_under_two_names_does_not_differ():
    """Of many null experiments, those with any significant difference are no more than the 5% that are allowed."""
    rng = np.random.default_rng(4)
    experiments = 600
    wrong = covered = 0
    for _ in range(experiments):
        scores = table(8, 3, rng)
        found = statistics.against(dict(zip("abcdefgh", scores, strict=True)), "a")
        wrong += any(comparison.adjusted_p < 0.05 for comparison in found.values())
        covered += found["b"].difference.low <= 0 <= found["b"].difference.high
    assert wrong <= stats.binom(experiments, 0.05).ppf(0.999)
    assert stats.binom(experiments, 0.95).ppf(0.001) <= covered <= stats.binom(experiments, 0.95).ppf(0.999)


def test_a_true_difference_is_found_where_two_operators_alone_would_not_show_it():
    rng = np.random.default_rng(5)
    pooled = paired = 0
    for _ in range(100):
        scores = table(8, 3, rng)
        scores[3] += 0.04
        pooled += statistics.against(dict(zip("abcdefgh", scores, strict=True)), "a")["d"].adjusted_p < 0.05
        paired += 7 * stats.ttest_rel(scores[3], scores[0]).pvalue < 0.05
    assert pooled > 80
    assert paired < 40


def test_what_is_detectable_is_found_four_times_in_five():
    rng = np.random.default_rng(6)
    plain, corrected = statistics.detectable(dict(zip("abcdefgh", table(8, 300, rng), strict=True)))
    assert 0 < plain < corrected
    three = 10 * plain  # the same noise, over three seeds instead of three hundred
    found = 0
    for _ in range(400):
        scores = table(8, 3, rng)
        scores[3] += three
        found += statistics.against(dict(zip("abcdefgh", scores, strict=True)), "a")["d"].difference.p < 0.05
    # With 14 degrees of freedom it is a little more than with thousands.
    assert stats.binom(400, 0.70).ppf(0.001) <= found <= stats.binom(400, 0.82).ppf(0.999)
    exact = statistics.detectable({"a": [0.1, 0.2, 0.3], "b": [0.2, 0.3, 0.5]})[0]
    spread = np.std([0.1, 0.1, 0.2], ddof=1) / np.sqrt(3)
    limit = stats.t.ppf(0.975, 2)
    assert stats.nct.sf(limit, 2, exact / spread) == pytest.approx(0.8, abs=1e-6)
    assert np.isnan(statistics.detectable({"a": [0.1], "b": [0.2]})).all()


def test_equal_scores_and_single_seeds_are_no_trouble():
    same = statistics.against({"a": [0.1, 0.7, 0.4], "b": [0.1, 0.7, 0.4]}, "a")["b"]
    assert same.difference == pytest.approx((0, 0, 0, 1))
    assert same.adjusted_p == 1
    single = statistics.against({"a": [0.5], "b": [0.6]}, "a")["b"]
    assert single.difference.value == pytest.approx(0.1)
    assert np.isnan([single.difference.low, single.difference.p, single.adjusted_p]).all()
    assert np.isnan(statistics.mean(np.array([0.5])).low)
