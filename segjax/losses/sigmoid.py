"""Losses of labels that may overlap: a sigmoid for each logit, yes or no for each label of each pixel.

The mask (n h w k) has 1 where a pixel has the label and 0 where not; `ignore`, or below 0, does not count, for that
label alone. With one logit it may be (n h w). All give the values of segmentation_models.pytorch 0.6 in its modes
"binary" and "multilabel", but that pixels which do not count are in no mean: its `SoftBCEWithLogitsLoss` counts them as
right. Losses of overlap add up the labels that occur in the batch and divide by the number of all.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from segjax.losses.boundary import signed_distance
from segjax.losses.labels import Weights, one_each, per_counted
from segjax.mask_numbers import is_counted
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen

Mask = Integer[Array, "n h w k"] | Integer[Array, "n h w"]


@on_any_mesh
def binary_cross_entropy(
    logits: Float[Array, "n h w k"], mask: Mask, *, ignore: int = 255, positive_weights: Weights | None = None
) -> Float[Array, ""]:
    """Sigmoid cross-entropy, averaged over all counted pixels of all labels; 0 where there are none.

    The numbers of `torch.nn.functional.binary_cross_entropy_with_logits`. `positive_weights` multiply the loss where a
    pixel has the label, its `pos_weight`, and do not divide.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or weights are not as many as labels.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0]]]])  # one label, two pixels
        >>> mask = jnp.array([[[[1], [0]]]])
        >>> round(float(losses.binary_cross_entropy(logits, mask)), 3)
        0.127
    """
    logits, label = _inputs(logits, mask, ignore)
    each = _cross_entropy(logits, label)
    if positive_weights is not None:
        weights = one_each("positive_weights", positive_weights, logits.shape[-1], each.dtype)
        each = each * jnp.where(label > 0, weights, 1)
    return per_counted(jnp.sum(each, where=label >= 0), jnp.sum(label >= 0))


@on_any_mesh
def sigmoid_focal(
    logits: Float[Array, "n h w k"], mask: Mask, *, gamma: float = 2.0, alpha: float | None = None, ignore: int = 255
) -> Float[Array, ""]:
    """Focal loss (Lin et al. 2017): cross-entropy times (1 - p)^gamma, averaged over counted pixels, then labels.

    p is the probability of what is true. `alpha` in 0..1 weighs pixels with the label, and 1 - alpha those without; the
    paper takes 0.25. A label without counted pixels adds 0, and counts.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0]]]])  # one label, two pixels
        >>> mask = jnp.array([[[[1], [0]]]])
        >>> round(float(losses.sigmoid_focal(logits, mask)), 4)
        0.0018
    """
    logits, label = _inputs(logits, mask, ignore)
    loss = _cross_entropy(logits, label)
    # Held above 0, where a power below 1 has no finite slope.
    doubt = jnp.maximum(-jnp.expm1(-loss), jnp.finfo(loss.dtype).tiny)
    loss = doubt**gamma * loss
    if alpha is not None:
        loss = loss * jnp.where(label > 0, alpha, 1 - alpha)
    counted = label >= 0
    of_labels = per_counted(jnp.sum(loss, axis=(0, 1, 2), where=counted), counted.sum((0, 1, 2)))
    return of_labels.mean()


@on_any_mesh
def sigmoid_dice(
    logits: Float[Array, "n h w k"], mask: Mask, *, smooth: float = 0.0, ignore: int = 255
) -> Float[Array, ""]:
    """1 - soft Dice, 2 sum(p g) / (sum(p) + sum(g)) over the batch, of labels that occur in it; `smooth` as in `dice`.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0]]]])  # one label, two pixels
        >>> mask = jnp.array([[[[1], [0]]]])
        >>> round(float(losses.sigmoid_dice(logits, mask)), 3)
        0.119
    """
    return sigmoid_tversky(logits, mask, alpha=0.5, beta=0.5, smooth=smooth, ignore=ignore)


@on_any_mesh
def sigmoid_jaccard(
    logits: Float[Array, "n h w k"], mask: Mask, *, smooth: float = 0.0, ignore: int = 255
) -> Float[Array, ""]:
    """1 - soft intersection over union over the batch, of labels that occur in it; `smooth` is in pixels.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0]]]])  # one label, two pixels
        >>> mask = jnp.array([[[[1], [0]]]])
        >>> round(float(losses.sigmoid_jaccard(logits, mask)), 3)
        0.213
    """
    return sigmoid_tversky(logits, mask, alpha=1.0, beta=1.0, smooth=smooth, ignore=ignore)


@on_any_mesh
def sigmoid_tversky(
    logits: Float[Array, "n h w k"],
    mask: Mask,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 0.0,
    ignore: int = 255,
) -> Float[Array, ""]:
    """1 - Tversky index (Salehi et al. 2017) over the batch, of labels that occur in it; 0 if none does.

    `alpha` weighs false positives and `beta` false negatives; `smooth` is in pixels.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0]]]])  # one label, two pixels
        >>> mask = jnp.array([[[[1], [0]]]])
        >>> round(float(losses.sigmoid_tversky(logits, mask)), 3)
        0.119
    """
    logits, label = _inputs(logits, mask, ignore)
    # Image by image, so that no running float32 sum grows large beside what is added to it.
    probability = jax.nn.sigmoid(logits)
    inside = jnp.sum(probability, axis=(1, 2), where=label > 0).sum(0)
    predicted = jnp.sum(probability, axis=(1, 2), where=label >= 0).sum(0)
    true = jnp.sum(label > 0, axis=(0, 1, 2)).astype(inside.dtype)
    whole = inside + alpha * (predicted - inside) + beta * (true - inside) + smooth
    loss = 1 - (inside + smooth) / jnp.maximum(whole, 1e-7)
    return jnp.where(true > 0, loss, 0).mean()


@on_any_mesh
def sigmoid_boundary(logits: Float[Array, "n h w k"], mask: Mask, *, ignore: int = 255) -> Float[Array, ""]:
    """Mean of probability times signed distance over counted pixels of all labels (Kervadec et al. 2019), in pixels.

    The distances are those of `signed_distance`, of each label by itself. It may be negative, and is meant to be added
    to a loss of overlap; 0 if nothing is counted.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0], [-2.0]]]])
        >>> mask = jnp.array([[[[1], [0], [0]]]])
        >>> round(float(losses.sigmoid_boundary(logits, mask)), 3)
        0.119
    """
    logits, label = _inputs(logits, mask, ignore)
    counted = label >= 0

    def of_label(label: Integer[Array, "n h w"]) -> Float[Array, "n h w"]:
        return signed_distance(label, 2, ignore=-1)[..., 1]

    distances = jnp.moveaxis(jax.lax.map(of_label, jnp.moveaxis(label, -1, 0)), 0, -1).astype(logits.dtype)
    return per_counted(jnp.sum(jax.nn.sigmoid(logits) * distances, where=counted), counted.sum())


def label_bands(logits: Float[Array, "n h w k"], mask: Mask, ignore: int) -> Integer[Array, "n h w k"]:
    """The mask as int32 with a band for each logit: 1 yes, 0 no, -1 where it does not count.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.
    """
    mask = jnp.asarray(mask)
    bands = mask[..., None] if mask.ndim == 3 and logits.shape[-1:] == (1,) else mask
    if logits.ndim != 4 or bands.shape != logits.shape:
        raise ValueError(
            f"logits have shape {logits.shape} and the mask {mask.shape}: expected (n, h, w, labels) twice, or "
            "(n, h, w, 1) and (n, h, w)."
        )
    if not jnp.issubdtype(mask.dtype, jnp.integer):
        raise ValueError(f"the mask has dtype {mask.dtype}: expected an integer, 0 or 1, for each label of each pixel.")
    bands = bands.astype(jnp.int32)
    return jnp.where(is_counted(bands, bands.shape[-1], ignore), jnp.minimum(bands, 1), -1)


def _inputs(logits: Array, mask: Array, ignore: int) -> tuple[Float[Array, "n h w k"], Integer[Array, "n h w k"]]:
    label = label_bands(logits, mask, ignore)
    # Zeros where a pixel does not count, from where a NaN could come back in a gradient.
    return jnp.where(label >= 0, widen(logits), 0), label


def _cross_entropy(logits: Float[Array, "n h w k"], label: Integer[Array, "n h w k"]) -> Float[Array, "n h w k"]:
    return jax.nn.softplus(jnp.where(label > 0, -logits, logits))
