"""Losses of overlap between regions: soft Dice, Jaccard, Tversky and focal Tversky.

All are a Tversky index, (overlap + smooth) / (overlap + alpha FP + beta FN + smooth), read from three sums for each
class: of its probability inside its true region, of its probability, and of its true pixels; `smooth` is in pixels.
`per_image` says what the sums run over: each image, whose losses are then averaged, or the whole batch.
`classes="present"` averages over the classes that occur in the truth, "all" over every class. (The losses of
segmentation_models.pytorch add up the present classes and divide by the number of all, so that a batch with few of them
counts less.)
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Real

from segjax.losses.labels import is_own, labels, per_counted, sum_by_class
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen

Classes = Literal["present", "all"]


@on_any_mesh
def dice(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    per_image: bool = False,
    classes: Classes = "present",
    smooth: float = 1.0,
    ignore: int | None = None,
) -> Float[Array, ""]:
    """1 - soft Dice, 2 sum(p g) / (sum(p) + sum(g)), averaged over classes (Sudre et al. 2017).

    0 if nothing is counted. The V-Net paper (Milletari et al. 2016) squares the terms of the denominator.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or `classes` is none of the two.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.dice(logits, mask)), 3)
        0.06
    """
    return tversky(
        logits, mask, alpha=0.5, beta=0.5, per_image=per_image, classes=classes, smooth=smooth, ignore=ignore
    )


@on_any_mesh
def jaccard(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    per_image: bool = False,
    classes: Classes = "present",
    smooth: float = 1.0,
    ignore: int | None = None,
) -> Float[Array, ""]:
    """1 - soft intersection over union, averaged over classes (Rahman & Wang 2016); 0 if nothing is counted.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or `classes` is none of the two.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.jaccard(logits, mask)), 3)
        0.112
    """
    return tversky(
        logits, mask, alpha=1.0, beta=1.0, per_image=per_image, classes=classes, smooth=smooth, ignore=ignore
    )


@on_any_mesh
def tversky(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    per_image: bool = False,
    classes: Classes = "present",
    smooth: float = 1.0,
    ignore: int | None = None,
) -> Float[Array, ""]:
    """1 - Tversky index (Salehi et al. 2017), averaged over classes; 0 if nothing is counted.

    `alpha` weighs false positives and `beta` false negatives: 0.5 and 0.5 give Dice, 1 and 1 Jaccard.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or `classes` is none of the two.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.tversky(logits, mask)), 3)
        0.06
    """
    inside, predicted, true = _overlaps(logits, mask, ignore, per_image)
    return average(1 - _tversky_index(inside, predicted, true, alpha, beta, smooth), true, classes)


@on_any_mesh
def focal_tversky(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    gamma: float = 4 / 3,
    alpha: float = 0.3,
    beta: float = 0.7,
    per_image: bool = False,
    classes: Classes = "present",
    smooth: float = 1.0,
    ignore: int | None = None,
) -> Float[Array, ""]:
    """(1 - Tversky index)^(1 / gamma), averaged over classes (Abraham & Khan 2019); 0 if nothing is counted.

    The paper swaps the names: its alpha weighs false negatives. segmentation_models.pytorch raises the average over
    classes to the power gamma instead.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or `classes` is none of the two.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.focal_tversky(logits, mask)), 3)
        0.121
    """
    inside, predicted, true = _overlaps(logits, mask, ignore, per_image)
    miss = 1 - _tversky_index(inside, predicted, true, alpha, beta, smooth)
    # A perfect class sits where the power's slope is infinite: there the loss is 0 and flat.
    floor = jnp.finfo(miss.dtype).eps
    loss = jnp.where(miss <= floor, 0, jnp.maximum(miss, floor) ** (1 / gamma))
    return average(loss, true, classes)


def _tversky_index(inside: Array, predicted: Array, true: Array, alpha: float, beta: float, smooth: float) -> Array:
    whole = inside + alpha * (predicted - inside) + beta * (true - inside) + smooth
    # Nothing out of nothing is a perfect match, and NaN is none.
    nothing = whole <= 0
    return jnp.where(nothing, 1, (inside + smooth) / jnp.where(nothing, 1, whole))


def average(loss: Float[Array, "n k"], true: Real[Array, "n k"], classes: Classes) -> Float[Array, ""]:
    """Over the classes asked for, then over the images (or the one batch) in which any pixel is counted.

    Raises:
        ValueError: `classes` is neither "present" nor "all".
    """
    if classes not in ("present", "all"):
        raise ValueError(f'classes must be "present" or "all", got {classes!r}.')
    chosen = (true if classes == "present" else true.sum(1, keepdims=True)) > 0
    chosen = jnp.broadcast_to(chosen, loss.shape)
    counted = chosen.sum(1)
    each = per_counted(jnp.sum(loss, axis=1, where=chosen), counted)
    return per_counted(each.sum(), jnp.sum(counted > 0))


def _overlaps(
    logits: Array, mask: Array, ignore: int | None, per_image: bool
) -> tuple[Float[Array, "n k"], Float[Array, "n k"], Float[Array, "n k"]]:
    sums = region_sums(logits, labels(logits, mask, ignore))
    inside, predicted, true = sums if per_image else (each.sum(0, keepdims=True) for each in sums)
    return inside, predicted, true


@jax.custom_jvp
def region_sums(
    logits: Float[Array, "n h w k"], label: Integer[Array, "n h w"]
) -> tuple[Float[Array, "n k"], Float[Array, "n k"], Float[Array, "n k"]]:
    """For each image and class: probability inside the true region, probability, true pixels; label -1 is not counted.

    The softmax is computed again in the backward pass, so that nothing of the logits' size is kept beside them.
    """
    return _sums(logits, label, _normaliser(logits, label))


@region_sums.defjvp
def _region_sums_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    normaliser = _normaliser(*primals)
    inside, predicted, true = _sums(*primals, normaliser)
    return (inside, predicted, true), (*_tangents(*primals, normaliser, tangents[0]), jnp.zeros_like(true))


def _normaliser(logits: Array, label: Array) -> Array:
    # Against an infinite normaliser every probability is 0, as it must be where a pixel is not counted.
    return jnp.where(label >= 0, jax.nn.logsumexp(widen(logits), axis=-1), jnp.inf)


def _sums(logits: Array, label: Array, normaliser: Array) -> tuple[Array, Array, Array]:
    softmax = jnp.exp(widen(logits) - normaliser[..., None])
    inside = sum_by_class(_own(logits, label, normaliser), label, logits.shape[-1])
    true = sum_by_class(jnp.ones_like(label), label, logits.shape[-1])
    return inside, softmax.sum((1, 2)), true.astype(inside.dtype)


def _own(logits: Array, label: Array, normaliser: Array) -> Float[Array, "n h w"]:
    """Probability of each pixel's own class."""
    score = jnp.take_along_axis(logits, jnp.maximum(label, 0)[..., None], axis=-1)[..., 0]
    return jnp.exp(widen(score) - normaliser)


@partial(jax.checkpoint, prevent_cse=False)
def _tangents(logits: Array, label: Array, normaliser: Array, tangent: Array) -> tuple[Array, Array]:
    """Of the probability inside the true region, and of the probability."""
    # Keeps the compiler from finding the forward pass's softmax again here and saving it.
    normaliser = jax.lax.optimization_barrier(normaliser)
    softmax = jnp.exp(widen(logits) - normaliser[..., None])
    tangent = widen(tangent)
    own = is_own(label, logits.shape[-1])
    # Of the tangent, what is alike for all classes drops out of a softmax.
    alike = jnp.sum(softmax * tangent, axis=-1)
    at_own = _own(logits, label, normaliser) * (jnp.sum(tangent, axis=-1, where=own) - alike)
    return sum_by_class(at_own, label, logits.shape[-1]), jnp.sum(softmax * (tangent - alike[..., None]), axis=(1, 2))
