"""Scores that objects have beside their class, the emotions of faces for example, against the true ones."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from segjax import metrics
from segjax.metrics.averages import known_or_none, ratio
from segjax.ops import boxes


class AttributeCounts(NamedTuple):
    """What adds up of the attributes of true boxes that were found."""

    calibration: Float[Array | np.ndarray, "a bins 3"]
    """As `metrics.attribute_calibration_counts` has it."""
    cross_entropy: Float[Array | np.ndarray, "2"]
    """As `metrics.attribute_cross_entropy_counts` has it."""
    confusion: Float[Array | np.ndarray, "a a"]
    """As `metrics.attribute_confusion` has it."""


def attribute_counts(found: Any, batch: Mapping[str, Any]) -> AttributeCounts:
    """Compare the attributes of true boxes with those of what was found there.

    That is the detection of the box's class with the best overlap, where its IoU is a half or more; of other boxes
    nothing is counted, nor of those marked `crowd`. Works under `jit`.

    Args:
        found: The `Detections` of each image, with attributes.
        batch: `boxes`, `labels`, `crowd` and `attributes` of each image.
    """
    overlap = boxes.pairwise(batch["boxes"], found.boxes)
    alike = (batch["labels"][:, :, None] == found.labels[:, None]) & (batch["labels"] >= 0)[:, :, None]
    overlap = jnp.where(alike & ~batch["crowd"][:, :, None], overlap, 0)
    best = overlap.argmax(-1)
    scores = jnp.take_along_axis(found.attributes, best[..., None], 1)
    known = jnp.where((overlap.max(-1) >= 0.5)[..., None], batch["attributes"], jnp.nan)
    return AttributeCounts(
        metrics.attribute_calibration_counts(scores, known),
        metrics.attribute_cross_entropy_counts(scores, known),
        metrics.attribute_confusion(scores, known),
    )


def attribute_scores(parts: Sequence[AttributeCounts], names: Sequence[str]) -> dict[str, Any]:
    """The scores of what was counted in several batches: of all attributes together, and of each by its name."""
    calibration, (known, entropy), confusion = (
        np.sum(np.asarray(each, np.float64), axis=0) for each in zip(*parts, strict=True)
    )
    errors = [metrics.expected_calibration_error(one) for one in calibration]
    scores: dict[str, Any] = {
        "attribute_cross_entropy": known_or_none(ratio(entropy, known)),
        "calibration_error": dict(zip(names, map(known_or_none, errors), strict=True)),
    }
    if len(names) > 1:
        recall = map(known_or_none, metrics.class_accuracy(confusion))
        scores["attribute_accuracy"] = known_or_none(metrics.pixel_accuracy(confusion))
        scores["attribute_recall"] = dict(zip(names, recall, strict=True))
    return scores


def attribute_details(counts: AttributeCounts, names: Sequence[str]) -> dict[str, Any]:
    """What a report shows of them: the calibration of all together, and which attribute is taken for which."""
    details: dict[str, Any] = {"calibration": np.asarray(counts.calibration, np.float64).sum(0).round(3).tolist()}
    if len(names) > 1:
        details |= {"confusion": np.asarray(counts.confusion).astype(int).tolist(), "confused": list(names)}
    return details
