"""The confusion matrix, or its sums alone where there are many classes, and the scores that are read from them."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Num
from numpy.typing import ArrayLike

from segjax.mask_numbers import is_counted, refuse_fractions
from segjax.metrics.averages import mean, ratio
from segjax.ops.meshes import on_any_mesh


class ClassSums(NamedTuple):
    """The pixels of every class that are right, true and predicted: what scores need of a confusion matrix.

    They take the place of a matrix that is too large: that of 65,000 classes has 17 GB.
    """

    right: Num[Array | np.ndarray, " k"]
    true: Num[Array | np.ndarray, " k"]
    predicted: Num[Array | np.ndarray, " k"]


Confusion = ArrayLike | ClassSums
"""A confusion matrix (k k), true classes in rows, or the sums of one."""


@on_any_mesh
def confusion_matrix(
    prediction: Integer[Array | np.ndarray, "n h w"],
    mask: Integer[Array | np.ndarray, "n h w"],
    num_classes: int,
    *,
    ignore: int | None = None,
) -> Integer[Array, "{num_classes} {num_classes}"]:
    """Pixels by true class (row) and predicted class (column), int32; works under `jit` with the batch sharded.

    Pixels whose mask or prediction is not one of the classes are not counted. A batch must hold fewer than 2^31 pixels;
    over many, add the matrices up as NumPy int64: `total += np.asarray(confusion_matrix(...))`.

    Raises:
        ValueError: where the shapes differ, one of the two is not of integers, or there are more than 46,340 classes.

    Examples:
        >>> metrics.confusion_matrix(np.array([[[0, 1, 1]]]), np.array([[[0, 0, 255]]]), 2).tolist()
        [[1, 1], [0, 0]]
    """
    if num_classes**2 > np.iinfo(np.int32).max:
        raise ValueError(f"a matrix of {num_classes} classes has more cells than int32 counts: take class_sums.")
    prediction, mask, counted = _counted(prediction, mask, num_classes, ignore)
    cell = jnp.where(counted, mask * num_classes + prediction, num_classes**2)
    return jnp.zeros(num_classes**2, jnp.int32).at[cell].add(1, mode="drop").reshape(num_classes, num_classes)


@on_any_mesh
def class_sums(
    prediction: Integer[Array | np.ndarray, "n h w"],
    mask: Integer[Array | np.ndarray, "n h w"],
    num_classes: int,
    *,
    ignore: int | None = None,
) -> ClassSums:
    """The sums of `confusion_matrix` without the matrix, int32; they add up over batches, class by class.

    Raises:
        ValueError: where the shapes differ, or one of the two is not of integers.

    Examples:
        >>> found = metrics.class_sums(np.array([[[0, 300, 1]]]), np.array([[[0, 300, 65535]]]), 301)
        >>> metrics.mean_iou(found)
        1.0
    """
    prediction, mask, counted = _counted(prediction, mask, num_classes, ignore)

    def count(label: Array, where: Array) -> Array:
        return jnp.zeros(num_classes, jnp.int32).at[jnp.where(where, label, num_classes)].add(1, mode="drop")

    right = counted & (prediction == mask)
    return ClassSums(count(mask, right), count(mask, counted), count(prediction, counted))


def _counted(
    prediction: Array | np.ndarray, mask: Array | np.ndarray, num_classes: int, ignore: int | None
) -> tuple[Integer[Array, "n h w"], Integer[Array, "n h w"], Bool[Array, "n h w"]]:
    if prediction.shape != mask.shape:
        raise ValueError(f"the prediction has shape {prediction.shape} and the mask {mask.shape}: expected the same.")
    refuse_fractions(prediction=prediction, mask=mask)
    prediction, mask = jnp.asarray(prediction, jnp.int32), jnp.asarray(mask, jnp.int32)
    known = (mask < num_classes) & (prediction >= 0) & (prediction < num_classes)
    return prediction, mask, is_counted(mask, num_classes, ignore) & known


def _sums(confusion: Confusion) -> ClassSums:
    """In float64."""
    if isinstance(confusion, ClassSums):
        return ClassSums(*(np.asarray(part, np.float64) for part in confusion))
    counts = np.asarray(confusion, np.float64)
    return ClassSums(np.diag(counts), counts.sum(1), counts.sum(0))


def pixel_accuracy(confusion: Confusion) -> float:
    """Share of the counted pixels whose class is right, in 0..1; NaN if none is counted.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.pixel_accuracy(confusion)
        0.875
    """
    sums = _sums(confusion)
    return float(ratio(sums.right.sum(), sums.true.sum()))


def class_accuracy(confusion: Confusion) -> Float[np.ndarray, " k"]:
    """For each class, the share of its true pixels that were found (recall); NaN if it is absent from the truth.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.class_accuracy(confusion).tolist()
        [0.75, 1.0]
    """
    sums = _sums(confusion)
    return ratio(sums.right, sums.true)


def mean_accuracy(confusion: Confusion) -> float:
    """Mean of `class_accuracy` over the classes that occur in the truth.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.mean_accuracy(confusion)
        0.875
    """
    return mean(class_accuracy(confusion))


def iou(confusion: Confusion) -> Float[np.ndarray, " k"]:
    """For each class, intersection over union (Jaccard index); NaN if it is absent from truth and prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.iou(confusion).tolist()
        [0.75, 0.8]
    """
    sums = _sums(confusion)
    return ratio(sums.right, sums.predicted + sums.true - sums.right)


def mean_iou(confusion: Confusion) -> float:
    """Mean of `iou` over the classes that occur in truth or prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.mean_iou(confusion)
        0.775
    """
    return mean(iou(confusion))


def frequency_weighted_iou(confusion: Confusion) -> float:
    """Mean of `iou` weighted by each class's share of the true pixels (Long et al. 2015); NaN if none is counted.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.frequency_weighted_iou(confusion)
        0.775
    """
    true = _sums(confusion).true
    return float(ratio(np.nansum(true * iou(confusion)), true.sum()))


def dice(confusion: Confusion) -> Float[np.ndarray, " k"]:
    """For each class, the Dice coefficient, which is also F1; NaN if it is absent from truth and prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> metrics.dice(confusion).round(3).tolist()
        [0.857, 0.889]
    """
    sums = _sums(confusion)
    return ratio(2 * sums.right, sums.predicted + sums.true)


def mean_dice(confusion: Confusion) -> float:
    """Mean of `dice` over the classes that occur in truth or prediction.

    Examples:
        >>> confusion = np.array([[3, 1], [0, 4]])  # a row for each true class
        >>> round(metrics.mean_dice(confusion), 3)
        0.873
    """
    return mean(dice(confusion))
