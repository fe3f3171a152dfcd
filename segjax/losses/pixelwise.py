"""Losses that are a mean over pixels: cross-entropy, focal loss, online hard example mining.

What a pixel that does not count holds, NaN and infinity included, changes neither value nor gradient.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from segjax.losses.labels import Weights, is_own, labels, one_each, where_counted
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


@on_any_mesh
def cross_entropy(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    ignore: int | None = None,
    class_weights: Weights | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Softmax cross-entropy, averaged over the counted pixels of the batch; 0 where there are none.

    The numbers of `torch.nn.functional.cross_entropy`: with class weights the mean is divided by the sum of the counted
    pixels' weights, and `label_smoothing` in 0..1 spreads that share of the target evenly over all classes. Computed in
    float32 or wider. A label that no logit belongs to makes the loss NaN.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, class_weights are not one for each, or
            label_smoothing is not in 0..1.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.cross_entropy(logits, mask)), 3)
        0.127
    """
    return _mean(
        cross_entropy_sums(logits, mask, ignore=ignore, class_weights=class_weights, label_smoothing=label_smoothing)
    )


@on_any_mesh
def cross_entropy_sums(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    ignore: int | None = None,
    class_weights: Weights | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """What `cross_entropy` divides: the weighted sum over pixels and the sum of weights, which add up over pieces.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, class_weights are not one for each, or
            label_smoothing is not in 0..1.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> total, weight = losses.cross_entropy_sums(logits, mask)
        >>> round(float(total), 3), float(weight)
        (0.254, 2.0)
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must lie in 0..1, got {label_smoothing}.")
    label = labels(logits, mask, ignore)
    normaliser, score = _normaliser_and_score(logits, label)
    weight = _pixel_weights(label, class_weights, logits.shape[-1], normaliser.dtype)
    total = jnp.sum((normaliser - score) * weight)
    if label_smoothing:
        share = jnp.ones(logits.shape[-1]) if class_weights is None else jnp.asarray(class_weights)
        share = share.astype(normaliser.dtype) / logits.shape[-1]
        # Not as a product, which a GPU or a TPU computes of fewer bits.
        apart = jnp.sum(widen(logits) * share[None, None, None], axis=-1)
        uniform = normaliser * share.sum() - apart
        total = (1 - label_smoothing) * total + label_smoothing * jnp.sum(uniform, where=label >= 0)
    return total, weight.sum()


@on_any_mesh
def focal(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    gamma: float = 2.0,
    ignore: int | None = None,
    class_weights: Weights | None = None,
) -> Float[Array, ""]:
    """Focal loss on the softmax (Lin et al. 2017), averaged over the counted pixels of the batch; 0 if there are none.

    Each pixel's cross-entropy is multiplied by (1 - p)^gamma, p the probability of its class. `class_weights` is the
    paper's alpha for each class; as in `cross_entropy`, which this is at gamma 0, their sum over pixels divides. The
    paper, and `FocalLoss` of segmentation_models.pytorch, give each class a sigmoid of its own instead.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or class_weights are not one for each.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.focal(logits, mask)), 4)
        0.0018
    """
    return _mean(focal_sums(logits, mask, gamma=gamma, ignore=ignore, class_weights=class_weights))


@on_any_mesh
def focal_sums(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    gamma: float = 2.0,
    ignore: int | None = None,
    class_weights: Weights | None = None,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """What `focal` divides: the weighted sum over pixels and the sum of weights, which add up over pieces.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or class_weights are not one for each.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> total, weight = losses.focal_sums(logits, mask)
        >>> round(float(total), 4), float(weight)
        (0.0036, 2.0)
    """
    label = labels(logits, mask, ignore)
    normaliser, score = _normaliser_and_score(logits, label)
    weight = _pixel_weights(label, class_weights, logits.shape[-1], normaliser.dtype)
    loss = normaliser - score
    # Held above 0, where a power below 1 has no finite slope.
    doubt = jnp.maximum(-jnp.expm1(-loss), jnp.finfo(loss.dtype).tiny)
    return jnp.sum(doubt**gamma * loss * weight), weight.sum()


@on_any_mesh
def ohem_cross_entropy(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    threshold: float = 0.7,
    min_fraction: float = 1 / 16,
    ignore: int | None = None,
    class_weights: Weights | None = None,
) -> Float[Array, ""]:
    """Cross-entropy averaged over the hard pixels of the batch (Shrivastava et al. 2016); 0 if no pixel is counted.

    A pixel is hard if its class has a probability below `threshold`, or if it is among the `min_fraction` of the
    counted pixels with the highest loss (more, where losses tie). `threshold=0` mines a fixed fraction,
    `min_fraction=0` by threshold alone; both are in 0..1.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, class_weights are not one for each, or
            one of the two shares is not in 0..1.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.ohem_cross_entropy(logits, mask)), 3)
        0.127
    """
    if not (0 <= threshold <= 1 and 0 <= min_fraction <= 1):
        raise ValueError(f"threshold and min_fraction must lie in 0..1, got {threshold} and {min_fraction}.")
    label = labels(logits, mask, ignore)
    normaliser, score = _normaliser_and_score(logits, label)
    loss = normaliser - score
    weight = _pixel_weights(label, class_weights, logits.shape[-1], loss.dtype)

    hardness = jax.lax.stop_gradient(jnp.where(label >= 0, loss, -jnp.inf))
    required = jnp.ceil(min_fraction * jnp.sum(label >= 0).astype(float)).astype(jnp.int32)
    ranked = jnp.sort(hardness.ravel(), descending=True)
    hardest = jnp.where(required > 0, ranked[jnp.maximum(required - 1, 0)], jnp.inf) if ranked.size else jnp.inf
    limit = -math.log(threshold) if threshold else math.inf
    weight = jnp.where((hardness > limit) | (hardness >= hardest), weight, 0)
    return _mean((jnp.sum(loss * weight), weight.sum()))


def _mean(sums: tuple[Array, Array]) -> Array:
    total, weight = sums
    return total / jnp.where(weight > 0, weight, 1)


def _pixel_weights(label: Array, class_weights: Weights | None, num_classes: int, dtype: jnp.dtype) -> Array:
    counted = (label >= 0).astype(dtype)
    if class_weights is None:
        return counted
    return counted * one_each("class_weights", class_weights, num_classes, dtype)[jnp.maximum(label, 0)]


@jax.custom_jvp
def _normaliser_and_score(logits: Array, label: Array) -> tuple[Array, Array]:
    """Log-sum-exp over the classes, and the logit of each pixel's own class; their difference is the cross-entropy.

    Both are 0 where a pixel is not counted, whatever its logits are.

    The derivative is spelled out: JAX's would scatter into an array of the logits' size, which is slower, and would
    keep the exponentials.
    """
    score = jnp.take_along_axis(logits, jnp.maximum(label, 0)[..., None], axis=-1)[..., 0]
    normaliser, counted = jax.nn.logsumexp(widen(logits), axis=-1), label >= 0
    return jnp.where(counted, normaliser, 0), jnp.where(counted, widen(score), 0)


@_normaliser_and_score.defjvp
def _normaliser_and_score_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    normaliser, score = _normaliser_and_score(*primals)
    return (normaliser, score), _tangents(*primals, normaliser, tangents[0])


@partial(jax.checkpoint, prevent_cse=False)
def _tangents(logits: Array, label: Array, normaliser: Array, tangent: Array) -> tuple[Array, Array]:
    softmax = where_counted(jnp.exp(widen(logits) - normaliser[..., None]), label)
    own = is_own(label, logits.shape[-1])
    tangent = widen(tangent)
    return jnp.sum(softmax * tangent, axis=-1), jnp.sum(tangent, axis=-1, where=own)
