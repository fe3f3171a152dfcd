"""Max-pooling that remembers where its maxima were."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from segjax.ops.geometry import Pair
from segjax.ops.pool_geometry import PoolGeometry
from segjax.ops.pool_indices import PoolIndices, offset_dtype
from segjax.ops.unpool import spread, window_slices


def max_pool_with_argmax(
    x: Num[Array, "n h w c"],
    window: int | Pair = 2,
    strides: int | Pair | None = None,
    padding: str | int | Sequence = "VALID",
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Num[Array, "n oh ow c"], PoolIndices]:
    """The maximum of each window, and where it was."""
    if x.ndim != 4:
        raise ValueError(f"x must have the axes n, h, w, c, got shape {x.shape}.")
    geometry = PoolGeometry.of(x.shape[1:3], window, strides, padding, dilation, ceil_mode)
    values, offsets = _max_pool(x, geometry)
    return values, PoolIndices(offsets, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    return _largest(x, geometry)


def _max_pool_forward(x: Array, geometry: PoolGeometry) -> tuple[tuple[Array, Array], Array]:
    values, offsets = _largest(x, geometry)
    return (values, offsets), offsets


def _max_pool_backward(geometry: PoolGeometry, offsets: Array, gradient: tuple[Array, Array]) -> tuple[Array]:
    return (spread(gradient[0], offsets, geometry, "sum"),)


_max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@functools.partial(jax.jit, static_argnames=("geometry",), inline=True)
def _largest(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    lowest = jnp.asarray(-jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min, x.dtype)
    shape = (x.shape[0], *geometry.output_size, x.shape[3])
    dtype = offset_dtype(geometry)
    first = geometry.first_cell(0)[:, None] * geometry.window[1] + geometry.first_cell(1)
    values = jnp.full(shape, lowest)
    offsets = jnp.broadcast_to(first.astype(dtype)[..., None], shape)
    for cell, part in enumerate(window_slices(x, geometry, lowest)):
        larger = (part > values) | (part != part)
        values = jnp.where(larger, part, values)
        offsets = jnp.where(larger, np.asarray(cell, dtype), offsets)
    return values, offsets
