"""What stays of a look at the records of a split one by one: their scores, and some of them to be shown."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from segjax.data import Record, Source
from segjax.data.checked import checked

LOOKED_AT = 200
"""Records that are looked at; spread evenly where there are more, so that the look is never the long part of a run."""
_SHOWN = 6
BINS = 15
_PARTS = ("image", "mask", "boxes", "labels", "crowd")


class Example(NamedTuple):
    """A record as it is shown."""

    name: str
    caption: str
    """What was found, in a few words."""
    layers: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    """Images to be laid over each other, by what they show: the image, the truth, the prediction, the error."""


class Examined(NamedTuple):
    """What was seen of some records of a split."""

    images: list[dict[str, Any]]
    """For each its `index`, `name`, `digest` and scores."""
    total: int
    """How many records the split has."""
    details: dict[str, Any]
    """Of all that were looked at, as far as the task has them: `confusion` of pixels (a row for each true class), or of
    objects by the attributes that `confused` names, `calibration` as `calibration_bins` has it, and `precision` by
    class at the recalls 0, 0.01 .. 1."""
    worst: list[Example]
    median: list[Example]
    """Those in the middle, when all are ordered by their score."""


def identity(source: Source, index: int, record: Record) -> dict[str, Any]:
    """What tells a record from others: its number, its name, and a digest of its image and its truth."""
    digest = hashlib.blake2b(digest_size=8)
    for part in _PARTS:
        if part in record:
            digest.update(np.ascontiguousarray(record[part]).tobytes())
    return {"index": index, "name": checked(source).name_of(index), "digest": digest.hexdigest()}


def worst_and_median(scores: Sequence[float | None]) -> tuple[list[int], list[int]]:
    """Which are the worst, from the worst on, and which are in the middle; no one is in both."""
    order = sorted((i for i, score in enumerate(scores) if score is not None), key=lambda i: (scores[i], i))
    count = min(_SHOWN, (len(order) + 1) // 2)
    first = max(count, (len(order) - count) // 2)
    return order[:count], order[first : first + count]


def calibration_bins(confidence: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "bins 3"]:
    """For each bin of confidence: how many, their summed confidence, and how many are right; adds up.

    The bins are those of `metrics.calibration_counts`, here without a program for every size of image.
    Where confidence is NaN, as after a training that diverged, nothing is counted.
    """
    known = np.isfinite(confidence)
    confidence, right = confidence[known], right[known]
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    weights = (None, confidence.astype(np.float64), right.astype(np.float64))
    return np.stack([np.bincount(place, one, minlength=BINS) for one in weights], axis=1)
