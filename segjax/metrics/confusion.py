"""The confusion matrix, and the scores that are read from it."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from numpy.typing import ArrayLike

from segjax.metrics.averages import mean, ratio


def confusion_matrix(
    prediction: Integer[Array | np.ndarray, "n h w"],
    mask: Integer[Array | np.ndarray, "n h w"],
    num_classes: int,
    *,
    ignore: int = 255,
) -> Integer[Array, "{num_classes} {num_classes}"]:
    """Pixels by true class (row) and predicted class (column), int32; works under `jit` with the batch sharded.

    Pixels whose mask or prediction is not one of the classes are not counted. A batch must hold fewer than 2^31 pixels;
    over many, add the matrices up as NumPy int64: `total += np.asarray(confusion_matrix(...))`.

    Raises:
        ValueError: where the shapes differ.

    Examples:
        >>> metrics.confusion_matrix(np.array([[[0, 1, 1]]]), np.array([[[0, 0, 255]]]), 2).tolist()
        [[1, 1], [0, 0]]
    """
    if prediction.shape != mask.shape:
        raise ValueError(f"the prediction has shape {prediction.shape} and the mask {mask.shape}: expected the same.")
    prediction, mask = jnp.asarray(prediction, jnp.int32), jnp.asarray(mask, jnp.int32)
    counted = (mask != ignore) & (mask >= 0) & (mask < num_classes) & (prediction >= 0) & (prediction < num_classes)
    cell = jnp.where(counted, mask * num_classes + prediction, num_classes**2)
    return jnp.zeros(num_classes**2, jnp.int32).at[cell].add(1, mode="drop").reshape(num_classes, num_classes)


def pixel_accuracy(confusion: ArrayLike) -> float:
    """Share of the counted pixels whose class is right, in 0..1; NaN if none is counted.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.pixel_accuracy(confusion)
        0.875
    """
    counts = np.asarray(confusion, np.float64)
    return float(ratio(np.trace(counts), counts.sum()))


def class_accuracy(confusion: ArrayLike) -> Float[np.ndarray, " k"]:
    """For each class, the share of its true pixels that were found (recall); NaN if it is absent from the truth.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.class_accuracy(confusion).tolist()
        [0.75, 1.0]
    """
    counts = np.asarray(confusion, np.float64)
    return ratio(np.diag(counts), counts.sum(1))


def mean_accuracy(confusion: ArrayLike) -> float:
    """Mean of `class_accuracy` over the classes that occur in the truth.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.mean_accuracy(confusion)
        0.875
    """
    return mean(class_accuracy(confusion))


def iou(confusion: ArrayLike) -> Float[np.ndarray, " k"]:
    """For each class, intersection over union (Jaccard index); NaN if it is absent from truth and prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.iou(confusion).tolist()
        [0.75, 0.8]
    """
    counts = np.asarray(confusion, np.float64)
    hits = np.diag(counts)
    return ratio(hits, counts.sum(0) + counts.sum(1) - hits)


def mean_iou(confusion: ArrayLike) -> float:
    """Mean of `iou` over the classes that occur in truth or prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.mean_iou(confusion)
        0.775
    """
    return mean(iou(confusion))


def frequency_weighted_iou(confusion: ArrayLike) -> float:
    """Mean of `iou` weighted by each class's share of the true pixels (Long et al. 2015); NaN if none is counted.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.frequency_weighted_iou(confusion)
        0.775
    """
    true = np.asarray(confusion, np.float64).sum(1)
    return float(ratio(np.nansum(true * iou(confusion)), true.sum()))


def dice(confusion: ArrayLike) -> Float[np.ndarray, " k"]:
    """For each class, the Dice coefficient, which is also F1; NaN if it is absent from truth and prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.dice(confusion).round(3).tolist()
        [0.857, 0.889]
    """
    counts = np.asarray(confusion, np.float64)
    return ratio(2 * np.diag(counts), counts.sum(0) + counts.sum(1))


def mean_dice(confusion: ArrayLike) -> float:
    """Mean of `dice` over the classes that occur in truth or prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> round(metrics.mean_dice(confusion), 3)
        0.873
    """
    return mean(dice(confusion))
