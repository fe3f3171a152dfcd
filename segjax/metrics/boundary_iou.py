"""Boundary IoU: intersection over union of the pixels near the contours of truth and prediction."""

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Integer
from numpy.typing import ArrayLike

from segjax.mask_numbers import is_counted, refuse_other_maps
from segjax.metrics.averages import mean, ratio
from segjax.ops.meshes import on_any_mesh


@on_any_mesh
def boundary_iou_counts(
    prediction: Integer[Array | np.ndarray, "n h w"],
    mask: Integer[Array | np.ndarray, "n h w"],
    num_classes: int,
    *,
    dilation_ratio: float = 0.02,
    ignore: int | None = None,
) -> Integer[Array, "2 {num_classes}"]:
    """For each class, pixels in the intersection and in the union of the two boundary regions, int32; adds up.

    A boundary region is what the authors of Cheng et al. 2021 define: a class's mask minus its erosion by a square that
    reaches `dilation_ratio` of the image's diagonal (rounded, at least one pixel) to each side. The erosion also starts
    at the edge of the image and at pixels that the mask ignores, those below 0 too, which belong to no class in either
    map. Works under `jit`.

    Raises:
        ValueError: where the two are not (n h w) of one shape, or one of them is not of integers.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.boundary_iou_counts(prediction, mask, 2).tolist()
        [[38, 6], [52, 18]]
    """
    refuse_other_maps(prediction=prediction, mask=mask)
    reach = max(1, round(dilation_ratio * math.hypot(*mask.shape[1:])))
    mask = jnp.asarray(mask, jnp.int32)
    counts = is_counted(mask, num_classes, ignore)
    prediction, mask = jnp.where(counts, jnp.asarray(prediction, jnp.int32), -1), jnp.where(counts, mask, -1)

    def count(label: Array, where: Array) -> Integer[Array, " k"]:
        cell = jnp.where(where & (label >= 0), label, num_classes)
        return jnp.zeros(num_classes, jnp.int32).at[cell].add(1, mode="drop")

    near_true, near_predicted = _near_contour(mask, reach), _near_contour(prediction, reach)
    both = count(mask, near_true & near_predicted & (mask == prediction))
    return jnp.stack([both, count(mask, near_true) + count(prediction, near_predicted) - both])


@on_any_mesh
def boundary_iou(counts: ArrayLike) -> Float[np.ndarray, " k"]:
    """Boundary IoU of each class from summed `boundary_iou_counts`; NaN if it is absent from truth and prediction.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> metrics.boundary_iou(metrics.boundary_iou_counts(prediction, mask, 2)).round(2).tolist()
        [0.73, 0.33]
    """
    intersection, union = np.asarray(counts, np.float64)
    return ratio(intersection, union)


@on_any_mesh
def mean_boundary_iou(counts: ArrayLike) -> float:
    """Mean of `boundary_iou` over the classes that occur in truth or prediction.

    Examples:
        >>> prediction = np.zeros((1, 8, 8), int)
        >>> prediction[0, 2:6, 2:6] = 1
        >>> mask = np.zeros((1, 8, 8), int)
        >>> mask[0, 2:6, 3:7] = 1
        >>> round(metrics.mean_boundary_iou(metrics.boundary_iou_counts(prediction, mask, 2)), 2)
        0.53
    """
    return mean(boundary_iou(counts))


def _near_contour(label: Integer[Array, "n h w"], reach: int) -> Bool[Array, "n h w"]:
    """Where the square around a pixel is not all of the pixel's label; for all classes at once.

    A class is eroded away exactly where the lowest and the highest label around differ.
    """
    padded = jnp.pad(label, ((0, 0), (reach, reach), (reach, reach)), constant_values=-2)

    def extreme(start: np.int32, compare) -> Array:
        side = 2 * reach + 1
        rows = lax.reduce_window(padded, start, compare, (1, side, 1), (1, 1, 1), "VALID")
        return lax.reduce_window(rows, start, compare, (1, 1, side), (1, 1, 1), "VALID")

    bounds = jnp.iinfo(jnp.int32)
    return extreme(np.int32(bounds.max), lax.min) != extreme(np.int32(bounds.min), lax.max)
