"""The Lovász losses, of a softmax and of sigmoids: surrogates of intersection over union, convex in the errors."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from segjax.losses.labels import labels, sum_by_class
from segjax.losses.region import Classes, average
from segjax.losses.sigmoid import Mask, label_bands
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


@on_any_mesh
def lovasz_softmax(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    per_image: bool = False,
    classes: Classes = "present",
    ignore: int | None = None,
) -> Float[Array, ""]:
    """Lovász extension of the Jaccard loss at the softmax's errors (Berman et al. 2018); 0 if nothing is counted.

    `per_image` sorts the pixels of each image and averages over images; otherwise the whole batch is sorted together.
    `classes="present"` averages over the classes that occur in the truth and sorts for them alone, "all" for every one.
    Keeps two arrays of the logits' size for the backward pass.

    Raises:
        ValueError: where the shapes do not match, the mask is not of integers, or `classes` is none of the two.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> round(float(losses.lovasz_softmax(logits, mask)), 3)
        0.119
    """
    label = labels(logits, mask, ignore)
    n, height, width, num_classes = logits.shape
    groups = (n, height * width) if per_image else (1, n * height * width)
    true = sum_by_class(jnp.ones_like(label), label, num_classes)
    if not per_image:
        true = true.sum(0, keepdims=True)

    # Computed again in the backward pass, which would otherwise keep it twice.
    @jax.checkpoint
    def by_class(logits: Array) -> Float[Array, "k g p"]:
        softmax = jax.nn.softmax(widen(logits), axis=-1)
        return jnp.moveaxis(softmax.reshape(*groups, num_classes), -1, 0)

    loss = _class_losses(by_class(logits), label.reshape(groups), classes == "present")
    return average(loss.T, true, classes)


@on_any_mesh
def lovasz_hinge(
    logits: Float[Array, "n h w k"], mask: Mask, *, per_image: bool = False, ignore: int = 255
) -> Float[Array, ""]:
    """Lovász extension of the Jaccard loss at the hinge losses of sigmoids (Berman et al. 2018); 0 if nothing counts.

    The mask is that of `losses.sigmoid`. The pixels of all labels are sorted together, those of each image by
    themselves with `per_image`, as segmentation_models.pytorch does it.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0], [-2.0]]]])  # one label, two pixels
        >>> mask = jnp.array([[[[1], [0]]]])
        >>> float(losses.lovasz_hinge(logits, mask))  # both are right by more than 1
        0.0
    """
    label = label_bands(logits, mask, ignore)
    label = label.reshape((len(label), math.prod(label.shape[1:])) if per_image else (1, label.size))
    scores = jnp.where(label >= 0, widen(logits).reshape(label.shape), 0)
    error = jnp.where(label >= 0, jax.nn.relu(1 - jnp.where(label > 0, scores, -scores)), 0)
    slopes = jax.vmap(_jaccard_slopes)(jax.lax.stop_gradient(error), label > 0, label >= 0)
    return jnp.einsum("gp,gp->g", slopes, error, precision="highest").sum() / max(len(label), 1)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _class_losses(
    softmax: Float[Array, "k g p"], label: Integer[Array, "g p"], skip_absent: bool
) -> Float[Array, "k g"]:
    """Loss of each class in each group of pixels. Linear in the errors as long as their order stays."""
    return _losses_and_slopes(softmax, label, skip_absent)[0]


@_class_losses.defjvp
def _class_losses_jvp(
    skip_absent: bool, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    losses, slopes = _losses_and_slopes(*primals, skip_absent)
    return losses, jnp.sum(slopes * tangents[0], axis=-1)


def _losses_and_slopes(softmax: Array, label: Array, skip_absent: bool) -> tuple[Array, Array]:
    def one_class(one: tuple[Array, Array]) -> tuple[Array, Array]:
        c, probability = one
        own = label == c
        error = jnp.where(own, 1 - probability, probability)
        slopes = jax.lax.cond(
            own.any() | (not skip_absent),
            jax.vmap(_jaccard_slopes),
            lambda error, own, counted: jnp.zeros_like(error),
            *(error, own, label >= 0),
        )
        # As a product, whose many partial sums keep what a sum from the largest term down would lose.
        return jnp.einsum("gp,gp->g", slopes, error, precision="highest"), jnp.where(own, -slopes, slopes)

    return jax.lax.map(one_class, (jnp.arange(softmax.shape[0], dtype=label.dtype), softmax))


def _jaccard_slopes(
    error: Float[Array, " p"], own: Bool[Array, " p"], counted: Bool[Array, " p"]
) -> Float[Array, " p"]:
    """How much the Jaccard loss grows when a pixel joins the wrong ones, from the largest error down; 0 if not counted.

    Of `union` pixels after it joined: 1 / union for a pixel of the class, inside / (union (union - 1)) for another. The
    difference of two losses would say the same, but cancels in float32.
    """
    order = jnp.argsort(jnp.where(counted, error, -1), descending=True)
    own = own[order]
    found, whole = jnp.cumsum(own), own.sum()
    rank = jnp.arange(own.shape[0])
    inside = whole - found
    union = whole + rank + 1 - found
    before = jnp.maximum(union - 1, 1)
    inside, union, before = (pixels.astype(error.dtype) for pixels in (inside, union, before))
    outside_slope = inside / (before * union)
    # Without a pixel of the class the loss is complete at the first wrong one.
    outside_slope = jnp.where((whole == 0) & (rank == 0), 1, outside_slope)
    slope = jnp.where(own, 1 / union, outside_slope) * counted[order].astype(error.dtype)
    return jnp.zeros_like(error).at[order].set(slope.astype(error.dtype), unique_indices=True)
