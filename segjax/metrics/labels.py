"""Scores of labels that may overlap, at any threshold of their probabilities."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from segjax.mask_numbers import is_counted, refuse_fractions
from segjax.metrics.averages import ratio
from segjax.ops.meshes import on_any_mesh

BINS = 64
"""Of probabilities. Thresholds are multiples of 1/64, which float32 holds exactly."""


class LabelScores(NamedTuple):
    """Each in 0..1, of what is counted together, a whole split or one image; NaN where nothing can be divided."""

    iou: Float[np.ndarray, "*n k"]
    """Intersection over union: TP / (TP + FP + FN)."""
    dice: Float[np.ndarray, "*n k"]
    """2 TP / (2 TP + FP + FN), which is also F1."""
    precision: Float[np.ndarray, "*n k"]
    """Of the pixels that are predicted to have the label, the share that has it: TP / (TP + FP)."""
    recall: Float[np.ndarray, "*n k"]
    """Of the pixels that have the label, the share that is found: TP / (TP + FN)."""


@on_any_mesh
def label_counts(
    logits: Float[Array, "n h w k"], mask: Integer[Array, "n h w k"], *, ignore: int = 255
) -> Integer[Array, "n k 64 2"]:
    """For each image and label, its counted pixels by the sigmoid of their logit, in 64 bins, and by no and yes.

    What `label_scores` reads at any threshold; a logit of NaN is wrong at each. int32: an image must hold fewer than
    2^31 pixels.

    Raises:
        ValueError: where the shapes differ, or the mask is not of integers.

    Examples:
        >>> counts = metrics.label_counts(jnp.zeros((1, 1, 2, 1)), jnp.array([[[[1], [0]]]]))
        >>> counts[0, 0, 32].tolist()  # in the bin of 0.5
        [1, 1]
    """
    if logits.shape != mask.shape:
        raise ValueError(f"the logits have shape {logits.shape} and the mask {mask.shape}: expected the same.")
    refuse_fractions(mask=mask)
    n, k = logits.shape[0], logits.shape[-1]
    mask = jnp.asarray(mask, jnp.int32)
    probability = jax.nn.sigmoid(logits.astype(jnp.float32))
    probability = jnp.where(jnp.isnan(probability), (mask <= 0).astype(jnp.float32), probability)
    bins = jnp.clip(jnp.floor(probability * BINS).astype(jnp.int32), 0, BINS - 1)
    place = jnp.arange(n * k, dtype=jnp.int32).reshape(n, 1, 1, k) * BINS + bins
    cell = jnp.where(is_counted(mask, k, ignore), 2 * place + (mask > 0).astype(jnp.int32), n * k * BINS * 2)
    return jnp.zeros(n * k * BINS * 2, jnp.int32).at[cell].add(1, mode="drop").reshape(n, k, BINS, 2)


def probability_counts(
    probabilities: Float[np.ndarray, "h w k"], mask: Integer[np.ndarray, "h w k"], *, ignore: int = 255
) -> Integer[np.ndarray, "k 64 2"]:
    """What `label_counts` has of one image, of probabilities and without a program for every size."""
    k = mask.shape[-1]
    probabilities = np.where(np.isnan(probabilities), mask <= 0, probabilities)
    place = np.arange(k) * BINS + np.clip(np.floor(probabilities * BINS).astype(np.int64), 0, BINS - 1)
    counted = is_counted(mask, k, ignore)
    return np.bincount((2 * place + (mask > 0))[counted], minlength=2 * k * BINS).reshape(k, BINS, 2)


def label_scores(counts: Integer[Array | np.ndarray, "*n k 64 2"], thresholds: Float[np.ndarray, " k"]) -> LabelScores:
    """The scores of labels that a pixel has from a probability of its threshold on, a multiple of 1/64.

    Examples:
        >>> counts = np.asarray(metrics.label_counts(jnp.array([[[[3.0], [-3.0]]]]), jnp.array([[[[1], [1]]]])))
        >>> scores = metrics.label_scores(counts.sum(0), np.array([0.5], np.float32))
        >>> scores.precision.item(), scores.recall.item()
        (1.0, 0.5)
    """
    yes = np.arange(BINS) >= np.round(np.asarray(thresholds) * BINS)[:, None]
    return _scores(*_confusion(np.asarray(counts), yes))


def best_thresholds(counts: Integer[Array | np.ndarray, "k 64 2"]) -> Float[np.ndarray, " k"]:
    """For each label the threshold of the best Dice, which is that of the best IoU; of several, the one nearest to 0.5.

    A label that is never there, or never predicted where it is, keeps 0.5.

    Examples:
        >>> logits = jnp.array([[[[3.0], [1.0], [0.5], [-3.0]]]])
        >>> mask = jnp.array([[[[1], [1], [0], [0]]]])
        >>> counts = np.asarray(metrics.label_counts(logits, mask))
        >>> metrics.best_thresholds(counts.sum(0)).tolist()  # between the sigmoids of 0.5 and 1
        [0.625]
    """
    levels = np.arange(1, BINS)
    yes = np.arange(BINS) >= levels[:, None]
    dice = np.nan_to_num(_scores(*_confusion(np.asarray(counts)[:, None], yes)).dice)
    distance = np.abs(levels - BINS // 2)
    best = [max(range(len(levels)), key=lambda j: (of_label[j], -distance[j])) for of_label in dice]
    return levels[best] / BINS


def _confusion(counts: np.ndarray, yes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives."""
    predicted = np.asarray(np.sum(counts * yes[..., None], axis=-2, dtype=np.float64))
    whole = np.asarray(np.sum(counts, axis=-2, dtype=np.float64))
    return predicted[..., 1], predicted[..., 0], whole[..., 1] - predicted[..., 1]


def _scores(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> LabelScores:
    return LabelScores(ratio(tp, tp + fp + fn), ratio(2 * tp, 2 * tp + fp + fn), ratio(tp, tp + fp), ratio(tp, tp + fn))
