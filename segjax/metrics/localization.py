"""Scores of one box an image: mean IoU, and ILSVRC's localization accuracy."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer
from numpy.typing import ArrayLike

from segjax.metrics.averages import ratio
from segjax.ops.boxes import iou
from segjax.ops.meshes import on_any_mesh


class LocalizationScores(NamedTuple):
    """Shares of the objects, in 0..1; NaN where there is none."""

    mean_iou: Float[np.ndarray, " ..."]
    box_accuracy: Float[np.ndarray, " ..."]
    """IoU of 0.5 or more, whatever the class."""
    class_accuracy: Float[np.ndarray, " ..."]
    localization_accuracy: Float[np.ndarray, " ..."]
    """IoU of 0.5 or more and the class right: ILSVRC-LOC's (Russakovsky et al. 2015), with one guess."""


@on_any_mesh
def localization_counts(
    boxes: Float[Array | np.ndarray, "n 4"],
    labels: Integer[Array | np.ndarray, " n"],
    true_boxes: Float[Array | np.ndarray, "n 4"],
    true_labels: Integer[Array | np.ndarray, " n"],
    num_classes: int,
) -> Float[Array, "{num_classes} 5"]:
    """For each true class: objects, their summed IoU, right boxes, right classes, and both right, in float32; adds up.

    Boxes are (x, y, w, h) in pixels; a true label below 0 is no object. Works under `jit`.

    Raises:
        ValueError: where the shapes do not match.

    Examples:
        >>> boxes, truth = np.array([[0.0, 0, 8, 8]], np.float32), np.array([[0.0, 0, 8, 4]], np.float32)
        >>> metrics.localization_counts(boxes, np.array([0]), truth, np.array([0]), 1).tolist()
        [[1.0, 0.5, 1.0, 1.0, 1.0]]
    """
    shapes = boxes.shape, labels.shape, true_boxes.shape, true_labels.shape
    if len(labels.shape) != 1 or shapes != ((*labels.shape, 4), labels.shape) * 2:
        raise ValueError(
            f"boxes have shape {boxes.shape} and labels {labels.shape}, the true ones {true_boxes.shape} and "
            f"{true_labels.shape}: expected (n, 4) and (n,) twice."
        )
    labels, true_labels = jnp.asarray(labels, jnp.int32), jnp.asarray(true_labels, jnp.int32)
    overlap = iou(boxes, true_boxes)
    right_box, right_class = overlap >= 0.5, labels == true_labels
    right = (each.astype(overlap.dtype) for each in (right_box, right_class, right_box & right_class))
    values = jnp.stack([jnp.ones_like(overlap), overlap, *right], axis=-1)
    row = jnp.where(true_labels < 0, num_classes, true_labels)
    return jnp.zeros((num_classes, 5), jnp.float32).at[row].add(values.astype(jnp.float32), mode="drop")


@on_any_mesh
def localization_scores(counts: ArrayLike) -> LocalizationScores:
    """The scores of each class from summed `localization_counts`; of all objects from `counts.sum(0)`.

    Examples:
        >>> boxes, truth = np.array([[0.0, 0, 8, 8]], np.float32), np.array([[0.0, 0, 8, 4]], np.float32)
        >>> counts = metrics.localization_counts(boxes, np.array([0]), truth, np.array([0]), 1)
        >>> metrics.localization_scores(counts).mean_iou.tolist()
        [0.5]
    """
    objects, overlap, *right = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return LocalizationScores(*(ratio(each, objects) for each in (overlap, *right)))
