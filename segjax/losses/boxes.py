"""Losses of boxes (x, y, w, h), by overlap and by distance.

Each is a mean over what is `counted` (everything, unless said), 0 if nothing is; what the rest holds, NaN included,
changes neither value nor gradient. Computed in float32 or wider, and finite with finite gradients for boxes without
area, equal, or far apart.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from segjax.losses.labels import all_or, per_counted
from segjax.ops.boxes import ciou, diou, giou
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen

EPS = 1e-7
"""What torchvision adds to denominators."""


@on_any_mesh
def giou_loss(
    boxes: Float[Array, "*n 4"], truth: Float[Array, "*n 4"], counted: Bool[Array, " *n"] | None = None
) -> Float[Array, ""]:
    """1 - generalised IoU (Rezatofighi et al. 2019); `torchvision.ops.generalized_box_iou_loss`.

    Raises:
        ValueError: where the shapes do not match, or `counted` is not boolean.

    Examples:
        >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0]])  # x, y, width, height
        >>> truth = jnp.array([[1.0, 0.0, 2.0, 2.0]])
        >>> round(float(losses.giou_loss(boxes, truth)), 3)
        0.667
    """
    return _overlap_loss(giou, boxes, truth, counted)


@on_any_mesh
def diou_loss(
    boxes: Float[Array, "*n 4"], truth: Float[Array, "*n 4"], counted: Bool[Array, " *n"] | None = None
) -> Float[Array, ""]:
    """1 - distance IoU (Zheng et al. 2020); `torchvision.ops.distance_box_iou_loss`.

    Raises:
        ValueError: where the shapes do not match, or `counted` is not boolean.

    Examples:
        >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0]])  # x, y, width, height
        >>> truth = jnp.array([[1.0, 0.0, 2.0, 2.0]])
        >>> round(float(losses.diou_loss(boxes, truth)), 3)
        0.744
    """
    return _overlap_loss(diou, boxes, truth, counted)


@on_any_mesh
def ciou_loss(
    boxes: Float[Array, "*n 4"], truth: Float[Array, "*n 4"], counted: Bool[Array, " *n"] | None = None
) -> Float[Array, ""]:
    """1 - complete IoU (Zheng et al. 2020); `torchvision.ops.complete_box_iou_loss`, which is NaN for points.

    Raises:
        ValueError: where the shapes do not match, or `counted` is not boolean.

    Examples:
        >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0]])  # x, y, width, height
        >>> truth = jnp.array([[1.0, 0.0, 2.0, 2.0]])
        >>> round(float(losses.ciou_loss(boxes, truth)), 3)
        0.744
    """
    return _overlap_loss(ciou, boxes, truth, counted)


@on_any_mesh
def smooth_l1_loss(
    values: Float[Array, "*n d"],
    truth: Float[Array, "*n d"],
    counted: Bool[Array, " *n"] | None = None,
    *,
    beta: float = 1.0,
) -> Float[Array, ""]:
    """Squared below `beta`, straight beyond (Girshick 2015), averaged over numbers too; `torch`'s `smooth_l1_loss`.

    In the unit of the values, boxes or any others; `beta` is above 0.

    Raises:
        ValueError: where the shapes do not match, `counted` is not boolean, or `beta` is not above 0.

    Examples:
        >>> float(losses.smooth_l1_loss(jnp.array([[0.5, 3.0]]), jnp.array([[0.0, 0.0]])))
        1.3125
    """
    if not beta > 0:
        raise ValueError(f"beta is {beta}: expected a distance above 0; at 0 it would be l1_loss.")
    values, truth, counted = _inputs(values, truth, counted)
    distance = jnp.abs(values - truth)
    each = jnp.where(distance < beta, distance**2 / (2 * beta), distance - beta / 2)
    return _mean(each.mean(-1), counted)


@on_any_mesh
def l1_loss(
    values: Float[Array, "*n d"], truth: Float[Array, "*n d"], counted: Bool[Array, " *n"] | None = None
) -> Float[Array, ""]:
    """Absolute difference, averaged over numbers too: of size and offset where an object's centre is, for example.

    Raises:
        ValueError: where the shapes do not match, or `counted` is not boolean.

    Examples:
        >>> float(losses.l1_loss(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 4.0]])))
        1.5
    """
    values, truth, counted = _inputs(values, truth, counted)
    difference = values - truth
    # jax gives abs a slope of 1 at 0, which would move what is right already.
    return _mean(jnp.where(difference == 0, 0, jnp.abs(difference)).mean(-1), counted)


def _overlap_loss(overlap: Callable[..., Array], boxes: Array, truth: Array, counted: Array | None) -> Array:
    boxes, truth, counted = _inputs(boxes, truth, counted)
    return _mean(1 - overlap(boxes, truth, eps=EPS), counted)


def _inputs(values: Array, truth: Array, counted: Array | None) -> tuple[Array, Array, Array]:
    """All of them, widened, with zeros where they are not counted, from where a NaN could come back in a gradient."""
    values, truth = jnp.asarray(values), jnp.asarray(truth)
    counted = all_or(counted, values.shape[:-1])
    if not values.ndim or values.shape != truth.shape or counted.shape != values.shape[:-1]:
        raise ValueError(
            f"values have shape {values.shape}, the truth {truth.shape} and counted {counted.shape}: "
            "expected the same shape twice, and that without its last axis."
        )
    chosen = counted[..., None]
    return jnp.where(chosen, widen(values), 0), jnp.where(chosen, widen(truth), 0), counted


def _mean(each: Float[Array, " *n"], counted: Bool[Array, " *n"]) -> Float[Array, ""]:
    return per_counted(jnp.sum(each, where=counted), counted.sum())
