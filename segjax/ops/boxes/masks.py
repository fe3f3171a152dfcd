"""The box of one object's mask."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen

_LEAST = 1e-6


@on_any_mesh
def from_mask(mask: Bool[Array, "*n h w"]) -> Float[Array, "*n 4"]:
    """The smallest (x, y, w, h) around the true pixels, zeros where there are none; `probability >= 0.5` makes a mask.

    The numbers of `torchvision.ops.masks_to_boxes`, which leaves the last row and column out of the size.

    Raises:
        ValueError: where the mask has no rows and columns or is not boolean.

    Examples:
        >>> mask = jnp.zeros((1, 6, 6), bool).at[0, 1:3, 2:6].set(True)
        >>> ops.boxes.from_mask(mask).tolist()
        [[2.0, 1.0, 4.0, 2.0]]
    """
    if mask.ndim < 2 or 0 in mask.shape[-2:] or mask.dtype != bool:
        raise ValueError(f"the mask has shape {mask.shape} and dtype {mask.dtype}: expected (..., h, w) of booleans.")
    x, width = _span(mask.any(-2))
    y, height = _span(mask.any(-1))
    return jnp.stack([x, y, width, height], axis=-1).astype(jnp.float32)


def _span(occupied: Bool[Array, "*n length"]) -> tuple[Array, Array]:
    """The first occupied position and the distance from it to behind the last; zeros if there is none."""
    length, some = occupied.shape[-1], occupied.any(-1)
    first, last = jnp.argmax(occupied, axis=-1), length - jnp.argmax(occupied[..., ::-1], axis=-1)
    return jnp.where(some, first, 0), jnp.where(some, last - first, 0)


@on_any_mesh
def from_probabilities(probability: Float[Array, "*n h w"]) -> Float[Array, "*n 4"]:
    """The expected box of a mask whose pixels are true with these probabilities (0..1); has gradients.

    A column is occupied with the largest probability in it, independently of the others, and x is the expected number
    of columns before the first occupied one, given that there is one; w is the expected width, 0 for an empty mask;
    rows likewise. For probabilities of 0 and 1 this is `from_mask`. Many small ones pull the box outwards: sharpen them
    first where the background is not near 0.

    Raises:
        ValueError: where there are no rows and columns.

    Examples:
        >>> probability = jnp.zeros((1, 6, 6)).at[0, 1:3, 2:6].set(1.0)
        >>> ops.boxes.from_probabilities(probability).tolist()
        [[2.0, 1.0, 4.0, 2.0]]
    """
    if probability.ndim < 2 or 0 in probability.shape[-2:]:
        raise ValueError(f"the probabilities have shape {probability.shape}: expected (..., h, w).")
    wide = widen(probability)
    x, width = _expected_span(wide.max(-2))
    y, height = _expected_span(wide.max(-1))
    return jnp.stack([x, y, width, height], axis=-1)


def _expected_span(occupied: Float[Array, "*n length"]) -> tuple[Array, Array]:
    length, axis = occupied.shape[-1], occupied.ndim - 1
    free_before = lax.cumprod(1 - occupied, axis)
    free_after = lax.cumprod(1 - occupied, axis, reverse=True)
    empty = free_before[..., -1]
    some = 1 - empty
    before, after = (
        jnp.sum(free - empty[..., None], axis=-1) / jnp.maximum(some, _LEAST) for free in (free_before, free_after)
    )
    return before, (length - before - after) * some
