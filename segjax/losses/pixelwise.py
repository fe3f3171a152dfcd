"""Losses that are a mean over pixels: cross-entropy, focal and online hard example mining."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int


def cross_entropy(
    logits: Float[Array, "n h w k"],
    mask: Int[Array, "n h w"],
    *,
    ignore: int = 255,
    class_weights: Float[ArrayLike, "k"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Softmax cross-entropy, averaged over the counted pixels (0 where there are none).

    The numbers of `torch.nn.functional.cross_entropy`: with class weights, the mean is divided by the sum of the
    counted pixels' weights; `label_smoothing` in 0..1 spreads that share of the target evenly over all classes.
    Computed in float32 or wider. A label that is neither a class nor `ignore` makes the loss NaN.
    """
    total, weight = cross_entropy_sums(
        logits, mask, ignore=ignore, class_weights=class_weights, label_smoothing=label_smoothing
    )
    return total / jnp.where(weight > 0, weight, 1)


def cross_entropy_sums(
    logits: Float[Array, "n h w k"],
    mask: Int[Array, "n h w"],
    *,
    ignore: int = 255,
    class_weights: Float[ArrayLike, "k"] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Numerator and denominator of `cross_entropy`, which may be summed over pieces of a batch before dividing."""
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    mask = mask.astype(jnp.int32)
    counted = mask != ignore
    label = jnp.where(counted, mask, 0)[..., None]
    lse = jax.nn.logsumexp(logits, axis=-1)
    nll = lse - jnp.take_along_axis(logits, label, axis=-1)[..., 0]
    weight = counted.astype(logits.dtype)
    k = logits.shape[-1]
    weights = jnp.ones(k, logits.dtype) if class_weights is None else jnp.asarray(class_weights, logits.dtype)
    weight = weights[label[..., 0]] * counted
    loss = nll * weight
    if label_smoothing:
        uniform = (lse * weights.sum() - logits @ weights) / k
        loss = (1 - label_smoothing) * loss + label_smoothing * jnp.where(counted, uniform, 0)
    return loss.sum(), weight.sum()
