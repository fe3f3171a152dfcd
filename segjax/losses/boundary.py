"""The boundary loss, and the signed distance maps that it weighs probabilities with."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from segjax.losses.labels import labels, per_counted
from segjax.mask_numbers import is_counted, refuse_fractions
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen

# The square of a distance, in pixels, that no image has; with the square of its height added it is still an int32.
_FAR = 2**30


@on_any_mesh
def boundary_loss(
    logits: Float[Array, "n h w k"],
    mask: Integer[Array, "n h w"],
    *,
    distances: Float[Array, "n h w k"] | None = None,
    ignore: int | None = None,
) -> Float[Array, ""]:
    """Mean of probability times signed distance over counted pixels and classes (Kervadec et al. 2019), in pixels.

    It may be negative, and is meant to be added to a loss of overlap; 0 if nothing is counted. `distances` are those of
    `signed_distance`, where the caller already has them.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 1]]])
        >>> round(float(losses.boundary_loss(logits, mask)), 3)
        0.123
    """
    label = labels(logits, mask, ignore)
    if distances is None:
        distances = signed_distance(mask, logits.shape[-1], ignore=ignore)
    if distances.shape != logits.shape:
        raise ValueError(f"distances have shape {distances.shape}: expected that of the logits, {logits.shape}.")

    # The softmax is computed again in the backward pass instead of being kept.
    @jax.checkpoint
    def moment(logits: Array) -> Array:
        softmax = jax.nn.softmax(widen(logits), axis=-1)
        return jnp.sum(softmax * jnp.asarray(distances, softmax.dtype), axis=-1)

    return per_counted(jnp.sum(moment(logits), where=label >= 0), logits.shape[-1] * jnp.sum(label >= 0))


@on_any_mesh
def signed_distance(
    mask: Integer[Array, "n h w"], num_classes: int, *, ignore: int | None = None
) -> Float[Array, "n h w {num_classes}"]:
    """Exact Euclidean distance in pixels to each class, negative inside it, as the boundary loss's authors count it.

    Outside a class it is the distance to its nearest pixel; inside, 1 minus the distance to the nearest counted pixel
    of another class, so 0 on its rim. It is 0 where the mask is ignored or below 0, and everywhere for a class that is
    absent from the image or fills it. Time grows with h w (h + w) for each class that occurs in the batch.

    Raises:
        ValueError: where the mask is not (n h w) of integers.

    Examples:
        >>> losses.signed_distance(jnp.array([[[0, 0, 1]]]), 2)[0, 0, :, 1].tolist()  # to class 1
        [2.0, 1.0, 0.0]
    """
    mask = jnp.asarray(mask)
    if mask.ndim != 3:
        raise ValueError(f"the mask has shape {mask.shape}: expected (n, h, w).")
    refuse_fractions(mask=mask)
    mask = mask.astype(jnp.int32)
    counted = is_counted(mask, num_classes, ignore)

    def one_class(c: Array) -> Array:
        own = counted & (mask == c)
        return jax.lax.cond(
            own.any(), _signed_distance, lambda own, other: jnp.zeros_like(own, jnp.float32), own, counted & ~own
        )

    return jnp.moveaxis(jax.lax.map(one_class, jnp.arange(num_classes, dtype=mask.dtype)), 0, -1)


def _signed_distance(own: Bool[Array, "n h w"], other: Bool[Array, "n h w"]) -> Float[Array, "n h w"]:
    rim = own.any((1, 2), keepdims=True) & other.any((1, 2), keepdims=True)
    signed = jnp.where(own, 1 - _distance(other), jnp.where(other, _distance(own), 0))
    return jnp.where(rim, signed, 0)


def _distance(seed: Bool[Array, "n h w"]) -> Float[Array, "n h w"]:
    """Distance of every pixel to the nearest seed: of the squares along the rows, the nearest along the columns."""
    along_rows = jnp.swapaxes(_nearest(jnp.swapaxes(jnp.where(seed, 0, _FAR), 1, 2)), 1, 2)
    return jnp.sqrt(_nearest(along_rows).astype(jnp.float32))


def _nearest(cost: Integer[Array, "n h w"]) -> Integer[Array, "n h w"]:
    """`min over j of cost[j] + (i - j)^2` down the columns, one j at a time: all at once would be an h-fold array."""
    height = cost.shape[1]
    row = jnp.arange(height)[None, :, None]

    def take(j: Array, best: Array) -> Array:
        return jnp.minimum(best, jax.lax.dynamic_slice_in_dim(cost, j, 1, axis=1) + (row - j) ** 2)

    return jax.lax.fori_loop(0, height, take, jnp.full_like(cost, _FAR))
