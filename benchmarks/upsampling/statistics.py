"""Means, differences and their 95% intervals over seeds, for a few seeds and many operators.

Runs of one seed share the order of the data, its augmentation and the encoder's initial parameters, so operators are
compared seed by seed. With three seeds a paired t test of two operators has two degrees of freedom, and next to no
power: its interval is 4.3 standard errors to each side. So all operators of a table are taken as one randomised block
design: a score is its operator's mean, plus what its seed adds to all, plus a residual, and the residuals' variance is
estimated from the whole table. Thirteen operators and three seeds give 24 degrees of freedom; two operators give
exactly the paired t test.

What is assumed: residuals are independent and normal, with one variance for all operators of a table. What is claimed:
something about other seeds, on this test split; the test images are not taken as a sample of others.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import optimize, stats

CONFIDENCE = 0.95
POWER = 0.8
"""How often a difference that a comparison could have seen is found, were it there."""


class Estimate(NamedTuple):
    """A number with its 95% interval, and the two-sided p value of its being zero; NaN where one seed cannot tell."""

    value: float
    low: float
    high: float
    p: float


class Comparison(NamedTuple):
    """How far an operator is from the control."""

    difference: Estimate
    adjusted_p: float
    """After Holm's correction for all operators that are compared with the control."""


def mean(scores: Float[np.ndarray, " seeds"]) -> Estimate:
    """The mean over seeds, by Student's t."""
    seeds = len(scores)
    error = float(np.std(scores, ddof=1) / np.sqrt(seeds)) if seeds > 1 else np.nan
    return _estimate(float(np.mean(scores)), error, seeds - 1)


def contrast(scores: Float[np.ndarray, "operators seeds"], weights: Float[np.ndarray, " operators"]) -> Estimate:
    """The sum of the operators' means times their weights, which add up to zero.

    The residual variance is that of the whole table, so operators of weight 0 help to estimate it. Raises ValueError
    where the weights do not add up to zero.
    """
    scores, weights = np.asarray(scores, np.float64), np.asarray(weights, np.float64)
    if abs(weights.sum()) > 1e-9:
        raise ValueError(f"the weights of a contrast add up to zero, not to {weights.sum()}.")
    operators, seeds = scores.shape
    freedom = (operators - 1) * (seeds - 1)
    residuals = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    variance = (residuals**2).sum() / freedom if freedom else np.nan
    return _estimate(float(weights @ scores.mean(1)), float(np.sqrt(variance * (weights**2).sum() / seeds)), freedom)


def against(scores: Mapping[str, ArrayLike], control: str) -> dict[str, Comparison]:
    """Every operator but the control against it, seed by seed; `scores` holds one score a seed, in the same order."""
    table = np.array(list(scores.values()), np.float64)
    names = list(scores)
    differences = {
        name: contrast(table, np.eye(len(names))[names.index(name)] - np.eye(len(names))[names.index(control)])
        for name in names
        if name != control
    }
    adjusted = holm([difference.p for difference in differences.values()])
    return {
        name: Comparison(difference, p) for (name, difference), p in zip(differences.items(), adjusted, strict=True)
    }


def detectable(scores: Mapping[str, ArrayLike]) -> tuple[float, float]:
    """The least true difference of two operators of a table that is significant four times in five.

    From the residuals' variance of the same table and the noncentral t distribution: at p < 0.05, and at the strictest
    level of Holm's correction for comparing all operators with one of them. NaN where one seed cannot tell.
    """
    table = np.array(list(scores.values()), np.float64)
    operators, seeds = table.shape
    freedom = (operators - 1) * (seeds - 1)
    if not freedom:
        return np.nan, np.nan
    residuals = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    error = float(np.sqrt((residuals**2).sum() / freedom * 2 / seeds))

    def standard_errors(level: float) -> float:
        limit = stats.t.isf(level / 2, freedom)
        missed = lambda apart: stats.nct.sf(limit, freedom, apart) - POWER  # noqa: E731
        return float(optimize.root_scalar(missed, bracket=(0, 10 * limit)).root)

    level = 1 - CONFIDENCE
    return error * standard_errors(level), error * standard_errors(level / (operators - 1))


def holm(p_values: ArrayLike) -> list[float]:
    """P values so adjusted that rejecting all below a level errs at all no more often than it says (Holm 1979)."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted.tolist()


def _estimate(value: float, error: float, freedom: int) -> Estimate:
    if not freedom or np.isnan(error):
        return Estimate(value, np.nan, np.nan, np.nan)
    # Scores that are equal to the last bit, seed by seed, differ by rounding in the means alone.
    if error <= 1e-12 * max(1.0, abs(value)):
        return Estimate(value, value, value, float(abs(value) <= 1e-12))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Estimate(value, value - reach, value + reach, float(2 * stats.t.sf(abs(value) / error, freedom)))
