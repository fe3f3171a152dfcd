"""What every score does with its sums: divide, and average over the classes that have one."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


def ratio(part: ArrayLike, whole: ArrayLike) -> Float[np.ndarray, " ..."]:
    """`part / whole` in float64, NaN where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def mean(scores: Float[np.ndarray, " k"]) -> float:
    """Mean of the scores that are not NaN; NaN if there are none."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")


def known_or_none(score: Any) -> float | None:
    """A score as a report has it: None where it is NaN."""
    return None if np.isnan(score) else float(score)
