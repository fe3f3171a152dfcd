"""The confusion matrix and the scores read from it.

Counts are made where the arrays live, inside `jit` too; scores are float64 on the host, from a matrix of any integer
type.
A class that occurs in neither truth nor prediction has no score: NaN in per-class arrays, left out of means, as in
mmsegmentation (`nan_to_num=None`) and scikit-learn's `balanced_accuracy_score`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike


def confusion_matrix(
    prediction: Int[Array, "n h w"], mask: Int[Array, "n h w"], num_classes: int, *, ignore: int = 255
) -> Int[Array, "k k"]:
    """Pixels by true class (row) and predicted class (column), int32; the matrices of batches add up.

    Pixels whose mask or prediction is not one of the classes are not counted. A batch must hold fewer than 2^31 pixels;
    beyond that, over many batches, add the matrices up as NumPy int64: `total += np.asarray(confusion_matrix(...))`.
    """
    if prediction.shape != mask.shape:
        raise ValueError(f"prediction {prediction.shape} and mask {mask.shape} must have the same shape (n, h, w)")

    prediction, mask = jnp.asarray(prediction, jnp.int32), jnp.asarray(mask, jnp.int32)
    counted = (mask != ignore) & (mask >= 0) & (mask < num_classes) & (prediction >= 0) & (prediction < num_classes)
    cell = jnp.where(counted, mask * num_classes + prediction, num_classes**2)
    return jnp.zeros(num_classes**2, jnp.int32).at[cell].add(1, mode="drop").reshape(num_classes, num_classes)


def pixel_accuracy(confusion: ArrayLike) -> float:
    """Share of the counted pixels whose class is right, in 0..1; NaN if none are counted."""
    counts = np.asarray(confusion, np.float64)
    return float(_ratio(np.trace(counts), counts.sum()))


def class_accuracy(confusion: ArrayLike) -> Float[np.ndarray, "k"]:
    """Per class, the share of its true pixels that were found (recall); NaN for classes absent from the truth."""
    counts = np.asarray(confusion, np.float64)
    return _ratio(np.diag(counts), counts.sum(1))


def mean_accuracy(confusion: ArrayLike) -> float:
    """Mean of `class_accuracy` over the classes present in the truth."""
    return _mean(class_accuracy(confusion))


def iou(confusion: ArrayLike) -> Float[np.ndarray, "k"]:
    """Per class, intersection over union (Jaccard index); NaN for classes absent from truth and prediction."""
    counts = np.asarray(confusion, np.float64)
    hits = np.diag(counts)
    return _ratio(hits, counts.sum(0) + counts.sum(1) - hits)


def mean_iou(confusion: ArrayLike) -> float:
    """Mean of `iou` over the classes that have one."""
    return _mean(iou(confusion))


def frequency_weighted_iou(confusion: ArrayLike) -> float:
    """Mean of `iou` weighted by each class's share of the true pixels (Long, Shelhamer & Darrell 2015)."""
    truth = np.asarray(confusion, np.float64).sum(1)
    return float(_ratio(np.nansum(truth * iou(confusion)), truth.sum()))


def dice(confusion: ArrayLike) -> Float[np.ndarray, "k"]:
    """Per class, the Dice coefficient, which is also F1; NaN for classes absent from truth and prediction."""
    counts = np.asarray(confusion, np.float64)
    return _ratio(2 * np.diag(counts), counts.sum(0) + counts.sum(1))


def mean_dice(confusion: ArrayLike) -> float:
    """Mean of `dice` over the classes that have one."""
    return _mean(dice(confusion))


def _ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """`part / whole`, NaN where the whole is 0."""
    whole = np.asarray(whole, np.float64)
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _mean(scores: np.ndarray) -> float:
    """Mean of the scores that are not NaN; NaN if there are none."""
    known = scores[~np.isnan(scores)]
    return float(known.mean()) if known.size else float("nan")
