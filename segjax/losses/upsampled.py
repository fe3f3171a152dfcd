"""Losses of upsampled logits, in pieces: the logits of full resolution never exist all at once."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from segjax.losses.labels import Weights
from segjax.losses.pixelwise import cross_entropy_sums
from segjax.mask_numbers import ignored, refuse_fractions
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen
from segjax.ops.resize import resize

Sums = TypeVar("Sums")


@on_any_mesh
def upsampled_cross_entropy(
    logits: Float[Array, "n low_h low_w k"],
    mask: Integer[Array, "n h w"],
    *,
    rows: int = 4,
    ignore: int | None = None,
    class_weights: Weights | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """`cross_entropy` of the logits after a bilinear resize to the mask's size, `rows` low-resolution rows at a time.

    Value and gradient are those of `ops.resize` followed by `cross_entropy`, while only `rows` x factor rows of full
    resolution are in memory, forward and backward. The mask's height and width must be whole multiples of the logits'.

    Raises:
        ValueError: where the mask's height and width are not whole multiples of the logits', n differs, the mask is not
            of integers, `rows` is below 1, class_weights are not one for each, or label_smoothing is not in 0..1.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0]]]])
        >>> mask = jnp.array([[[0, 0, 1, 1]]])  # of twice the width
        >>> round(float(losses.upsampled_cross_entropy(logits, mask)), 3)
        0.22
    """
    options = {"class_weights": class_weights, "label_smoothing": label_smoothing}
    total, weight = upsampled_sums(partial(cross_entropy_sums, **options), logits, mask, rows=rows, ignore=ignore)
    return total / jnp.where(weight > 0, weight, 1)


@on_any_mesh
def upsampled_sums(
    sums: Callable[..., Sums],
    logits: Float[Array, "n low_h low_w k"],
    mask: Integer[Array, "n h w"],
    *,
    rows: int = 4,
    ignore: int | None = None,
) -> Sums:
    """`sums(logits, mask, ignore=ignore)` of logits resized to the mask, added up over pieces of `rows` rows.

    `sums` returns arrays that add up over pieces of a batch, as `cross_entropy_sums` and `focal_sums` do. A piece holds
    those rows of every image, so that a batch sharded over devices stays where it is.

    Raises:
        ValueError: where the mask's height and width are not whole multiples of the logits', n differs, the mask is not
            of integers, or `rows` is below 1.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0]]]])
        >>> mask = jnp.array([[[0, 0, 1, 1]]])  # of twice the width
        >>> total, weight = losses.upsampled_sums(losses.cross_entropy_sums, logits, mask)
        >>> float(weight)
        4.0
    """
    if (
        logits.ndim != 4
        or mask.ndim != 3
        or logits.shape[0] != mask.shape[0]
        or 0 in logits.shape[1:3]
        or any(np.mod(mask.shape[1:], logits.shape[1:3]))
    ):
        raise ValueError(
            f"the mask has shape {mask.shape} and the logits {logits.shape}: expected a mask of the same n whose "
            "height and width are whole multiples of the logits'; otherwise resize the logits and use cross_entropy."
        )
    refuse_fractions(mask=mask)
    if rows < 1:
        raise ValueError(f"rows must be at least 1 of the logits' at a time, got {rows}.")
    n, height, width, num_classes = logits.shape
    ignore = ignored(num_classes) if ignore is None else ignore
    factors = mask.shape[1] // height, mask.shape[2] // width
    pieces = -(-height // rows)
    missing = pieces * rows - height

    # A piece is interpolated with the row above and the row below it. All are cut as slices, whose gradients are pads:
    # that of a gather would be a scatter.
    logits = widen(logits)
    body = jnp.concatenate([logits, jnp.repeat(logits[:, -1:], missing, axis=1)], axis=1)
    body = body.reshape(n, pieces, rows, width, num_classes)
    above = jnp.concatenate([body[:, :1, :1], body[:, :-1, -1:]], axis=1)
    below = jnp.concatenate([body[:, 1:, :1], body[:, -1:, -1:]], axis=1)
    masks = jnp.pad(jnp.asarray(mask, jnp.int32), ((0, 0), (0, missing * factors[0]), (0, 0)), constant_values=ignore)
    masks = masks.reshape(n, pieces, rows * factors[0], mask.shape[2])

    def piece(parts: tuple[Array, Array, Array, Array]) -> Sums:
        above, body, below, mask = parts
        slab = jnp.concatenate([above, body, below], axis=1)
        full = resize(slab, ((rows + 2) * factors[0], width * factors[1]), method="bilinear")
        return sums(full[:, factors[0] : -factors[0]], mask, ignore=ignore)

    parts = tuple(jnp.moveaxis(part, 1, 0) for part in (above, body, below, masks))
    each = jax.lax.map(jax.checkpoint(piece, prevent_cse=False), parts)
    return jax.tree.map(lambda parts: parts.sum(0), each)
