"""Overlap of two boxes: IoU and its relatives that also tell boxes apart which do not touch.

Each takes two arrays of (x, y, w, h) whose leading axes broadcast, and is computed in coordinates of the first box, so
that no digit is lost far from the origin: equal boxes have exactly 1. A denominator gets `eps` (0; torchvision's losses
add 1e-7), is held above 1e-12, and what a box without area would divide 0 by 0 counts as 0. Values and gradients are
finite for all boxes within 1e9 pixels.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Real

from segjax.ops.boxes.forms import checked, sizes
from segjax.ops.meshes import on_any_mesh

Overlap = Callable[[Array, Array], Array]
_LEAST_AREA = 1e-12


@on_any_mesh
def iou(a: Real[ArrayLike, "*#n 4"], b: Real[ArrayLike, "*#n 4"], *, eps: float = 0.0) -> Float[Array, " *#n"]:
    """Intersection over union, in 0..1; 0 where neither box has an area.

    Raises:
        ValueError: where the last axis is not 4, or the shapes do not broadcast.

    Examples:
        >>> a, b = jnp.array([[0.0, 0.0, 4.0, 4.0]]), jnp.array([[2.0, 0.0, 4.0, 4.0]])
        >>> round(float(ops.boxes.iou(a, b)[0]), 3)
        0.333
    """
    return _iou(_together(a, b), eps)


@on_any_mesh
def giou(a: Real[ArrayLike, "*#n 4"], b: Real[ArrayLike, "*#n 4"], *, eps: float = 0.0) -> Float[Array, " *#n"]:
    """Generalised IoU (Rezatofighi et al. 2019), in -1..1: less the share of the hull that neither box covers.

    Raises:
        ValueError: where the last axis is not 4, or the shapes do not broadcast.

    Examples:
        >>> a, b = jnp.array([[0.0, 0.0, 4.0, 4.0]]), jnp.array([[2.0, 0.0, 4.0, 4.0]])
        >>> round(float(ops.boxes.giou(a, b)[0]), 3)
        0.333
    """
    pair = _together(a, b)
    hull = pair.hull[..., 0] * pair.hull[..., 1]
    return _iou(pair, eps) - _ratio(hull - pair.union, hull, eps)


@on_any_mesh
def diou(a: Real[ArrayLike, "*#n 4"], b: Real[ArrayLike, "*#n 4"], *, eps: float = 0.0) -> Float[Array, " *#n"]:
    """Distance IoU (Zheng et al. 2020), in -1..1: less (distance of centres / diagonal of the hull)^2.

    Raises:
        ValueError: where the last axis is not 4, or the shapes do not broadcast.

    Examples:
        >>> a, b = jnp.array([[0.0, 0.0, 4.0, 4.0]]), jnp.array([[2.0, 0.0, 4.0, 4.0]])
        >>> round(float(ops.boxes.diou(a, b)[0]), 3)
        0.256
    """
    return _diou(_together(a, b), eps)


@on_any_mesh
def ciou(a: Real[ArrayLike, "*#n 4"], b: Real[ArrayLike, "*#n 4"], *, eps: float = 0.0) -> Float[Array, " *#n"]:
    """Complete IoU (Zheng et al. 2020): distance IoU less alpha v, v the difference of the aspects' angles.

    No gradient passes through the trade-off alpha, as in the paper. A box that is a point has the aspect of a square.

    Raises:
        ValueError: where the last axis is not 4, or the shapes do not broadcast.

    Examples:
        >>> a, b = jnp.array([[0.0, 0.0, 4.0, 4.0]]), jnp.array([[2.0, 0.0, 4.0, 4.0]])
        >>> round(float(ops.boxes.ciou(a, b)[0]), 3)
        0.256
    """
    pair = _together(a, b)
    v = 4 / np.pi**2 * (_aspect(pair.size_a) - _aspect(pair.size_b)) ** 2
    alpha = jax.lax.stop_gradient(_ratio(v, 1 - _iou(pair, eps) + v, eps))
    return _diou(pair, eps) - alpha * v


@on_any_mesh
def pairwise(
    a: Real[ArrayLike, "*#k m 4"], b: Real[ArrayLike, "*#k n 4"], overlap: Overlap = iou
) -> Float[Array, "*#k m n"]:
    """The matrix of `overlap` (iou, giou, diou or ciou) of every box of `a` with every box of `b`.

    Raises:
        ValueError: where the last axis is not 4, or the leading axes do not broadcast.

    Examples:
        >>> a = jnp.array([[0.0, 0.0, 4.0, 4.0], [9.0, 9.0, 1.0, 1.0]])
        >>> ops.boxes.pairwise(a, a).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    return overlap(checked(a)[..., :, None, :], checked(b)[..., None, :, :])


class _Pair(NamedTuple):
    size_a: Array
    size_b: Array
    hull: Array
    """Width and height of the smallest box around both."""
    distance: Array
    """Of the centres, along x and y."""
    intersection: Array
    union: Array


def _together(a: ArrayLike, b: ArrayLike) -> _Pair:
    a, b = checked(a), checked(b)
    try:
        axes = len(jnp.broadcast_shapes(a.shape, b.shape))
    except ValueError:
        raise ValueError(
            f"boxes of shape {a.shape} and {b.shape} do not broadcast; for a matrix use pairwise."
        ) from None
    a, b = (jax.lax.broadcast_to_rank(boxes, axes) for boxes in (a, b))
    size_a, size_b = sizes(a), sizes(b)
    shift = b[..., :2] - a[..., :2]
    shared = jnp.minimum(size_a, shift + size_b) - jnp.maximum(0, shift)
    hull = jnp.maximum(size_a, shift + size_b) - jnp.minimum(0, shift)
    intersection = jnp.where((shared > 0).all(-1), shared[..., 0] * shared[..., 1], 0)
    union = size_a[..., 0] * size_a[..., 1] + size_b[..., 0] * size_b[..., 1] - intersection
    return _Pair(size_a, size_b, hull, shift + (size_b - size_a) / 2, intersection, union)


def _iou(pair: _Pair, eps: float) -> Array:
    return _ratio(pair.intersection, pair.union, eps)


def _diou(pair: _Pair, eps: float) -> Array:
    return _iou(pair, eps) - _ratio(jnp.sum(pair.distance**2, -1), jnp.sum(pair.hull**2, -1), eps)


def _ratio(part: Array, whole: Array, eps: float) -> Array:
    return part / jnp.maximum(whole + eps, _LEAST_AREA)


def _aspect(size: Array) -> Array:
    """The angle whose tangent is width over height, with a slope of 0 where the box is a point."""
    is_point = jnp.sum(size**2, axis=-1) < _LEAST_AREA
    width, height = jnp.moveaxis(jnp.where(is_point[..., None], 1, size), -1, 0)
    return jnp.arctan2(width, height)
