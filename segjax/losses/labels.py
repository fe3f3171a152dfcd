"""What every loss does first with its logits and its mask, and last with its sum."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, ArrayLike, Bool, Float, Integer, Shaped

from segjax.mask_numbers import is_counted, refuse_fractions
from segjax.ops.precision import widen

Weights = Float[ArrayLike, " k"] | Sequence[float]
"""One for each class."""


def labels(
    logits: Float[Array, "n h w k"], mask: Integer[Array, "n h w"], ignore: int | None
) -> Integer[Array, "n h w"]:
    """The mask as int32 with -1 wherever a pixel is not counted.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.
    """
    mask = jnp.asarray(mask)
    if logits.ndim != 4 or mask.shape != logits.shape[:3]:
        raise ValueError(
            f"logits have shape {logits.shape} and the mask {mask.shape}: expected (n, h, w, classes) and (n, h, w) "
            "with the same n, h and w; resize the logits to the mask, or score them with upsampled_cross_entropy."
        )
    refuse_fractions(mask=mask)
    mask = mask.astype(jnp.int32)
    return jnp.where(is_counted(mask, logits.shape[-1], ignore), mask, -1)


def one_each(name: str, weights: Weights, count: int, dtype: DTypeLike) -> Float[Array, " {count}"]:
    """Weights in that dtype, one for each of so many: of fewer, a lookup would give the last to all that lack one.

    Raises:
        ValueError: where they are not as many; `name` is the argument that it speaks of.
    """
    weights = jnp.asarray(weights, dtype)
    if weights.shape != (count,):
        raise ValueError(f"{name} have shape {weights.shape}: expected one for each of {count}.")
    return weights


def all_or(counted: Bool[Array, "..."] | None, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """What is counted, and all where that is not said.

    Raises:
        ValueError: where it is not said in booleans.
    """
    counted = jnp.ones(shape, bool) if counted is None else jnp.asarray(counted)
    if counted.dtype != bool:
        raise ValueError(f"counted has dtype {counted.dtype}: expected booleans, True where a value counts.")
    return counted


def is_own(label: Integer[Array, "n h w"], num_classes: int) -> Bool[Array, "n h w {num_classes}"]:
    """Whether each class is a pixel's own."""
    return label[..., None] == jnp.arange(num_classes, dtype=label.dtype)[None, None, None]


def where_counted(values: Float[Array, "n h w k"], label: Integer[Array, "n h w"]) -> Float[Array, "n h w k"]:
    """In float32 or wider, with zeros where a pixel is not counted, from where a NaN could come back in a gradient.

    The class takes part in the comparison, as XLA:CPU makes no vectors of one that is of pixels alone.
    """
    num_classes = values.shape[-1]
    classes = jnp.arange(num_classes, dtype=label.dtype)[None, None, None]
    return jnp.where(classes < jnp.where(label < 0, 0, num_classes)[..., None], widen(values), 0)


def per_counted(total: Float[Array, "*n"], counted: Integer[Array, "*n"]) -> Float[Array, "*n"]:
    """A sum by how many it is of, and by 1 where nothing is counted."""
    return total / jnp.maximum(counted, 1).astype(total.dtype)


def sum_by_class(
    values: Shaped[Array, "n h w"], label: Integer[Array, "n h w"], num_classes: int
) -> Shaped[Array, "n k"]:
    """Sum of `values` over each image's pixels of each class, without a one-hot array; label -1 belongs to none.

    Row by row, so that no running float32 sum grows large beside what is added to it.
    """

    def one_row(values: Array, label: Array) -> Array:
        return jnp.zeros(num_classes, values.dtype).at[label].add(values, mode="drop")

    return jax.vmap(jax.vmap(one_row))(values, jnp.where(label < 0, num_classes, label)).sum(1)
