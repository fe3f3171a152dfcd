"""Max-pooling that remembers where its maxima were."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Num

from segjax.ops.geometry import Pair
from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import known
from segjax.ops.pool_geometry import PoolGeometry
from segjax.ops.pool_indices import PoolIndices, offset_dtype, offsets_of
from segjax.ops.pool_windows import FEW_CELLS, gathered_window_cells, pooling, take, window_cells

MOST_CELLS = 64
"""Cells of a window up to which a chain of comparisons compiles soon: `reduce_window`, which takes any, is slow."""


@on_any_mesh
def max_pool_with_argmax(
    x: Num[Array, "n h w c"],
    window: int | Pair = 2,
    *,
    strides: int | Pair | None = None,
    padding: str | int | Sequence[int | Pair] = "VALID",
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Num[Array, "n oh ow c"], PoolIndices]:
    """The maximum of each window and its place, as `torch.nn.functional.max_pool2d(..., return_indices=True)`.

    Of equal maxima the first in row-major order counts; a NaN exceeds everything, and of several the last counts; a
    window of -inf alone has its first cell inside the input. Padding is never a maximum. The gradient of a maximum goes
    to its place, summed where windows share it.

    A window of up to 64 cells is a chain of comparisons between strided slices: of x itself up to 9 cells, then of a
    padded copy. Larger ones are a `reduce_window`.

    Args:
        x: any real dtype.
        window: rows and columns of a window; `strides` is the same where it is None.
        padding: "VALID" (none), an int, a pair, or ((top, bottom), (left, right)): at most half of the window each.
        dilation: the distance between the cells of a window.
        ceil_mode: also pool what is left at the bottom and right where a whole window does not fit: 2 x 2 windows of an
            odd size then lose no pixel.

    Raises:
        ValueError: where `x` has not four axes or no real dtype, or no window fits into it.

    Examples:
        >>> x = jnp.array([[1.0, 5.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
        >>> values, indices = ops.max_pool_with_argmax(x)
        >>> values.item(), indices.flat().item()  # as torch numbers them
        (5.0, 1)
    """
    if x.ndim != 4 or x.dtype == bool or jnp.iscomplexobj(x):
        raise ValueError(f"max_pool_with_argmax takes real (n, h, w, c), got {x.dtype} of shape {x.shape}.")
    _, h, w, _ = x.shape
    geometry = PoolGeometry.of((h, w), window, strides, padding, dilation, ceil_mode)
    values, offsets = _maxima(lax.stop_gradient(x), geometry)
    return known(values, pooling(geometry), 1, x, offsets), PoolIndices(offsets, geometry)


@functools.partial(jax.jit, static_argnames=("geometry",), inline=True)
def _maxima(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    """The maxima and their offsets.

    XLA:CPU makes two loops of the two results in any case, so each is written as suits it best.
    """
    if geometry.cells > MOST_CELLS:
        return _reduced_maxima(x, geometry)
    lowest = _lowest(x.dtype)
    values = functools.reduce(lax.max, window_cells(x, geometry, lowest))

    dtype = offset_dtype(geometry)
    first = geometry.first_cell(0)[:, None] * geometry.window[1] + geometry.first_cell(1)
    offsets = jnp.broadcast_to(first.astype(dtype)[..., None], values.shape)
    largest = jnp.full_like(values, lowest)
    cells = gathered_window_cells if geometry.cells <= FEW_CELLS else window_cells
    for cell, part in enumerate(cells(x, geometry, lowest)):
        larger = (part > largest) | (part != part)
        largest = jnp.where(larger, part, largest)
        offsets = jnp.where(larger, dtype.type(cell), offsets)
    return values, _stored(offsets)


def _stored(offsets: Array) -> Array:
    """The same, through a gather of all rows: XLA stores what it gathers, and repeats comparisons at every use.

    Otherwise the gradient, and an unpooling far below, would keep the input of the pooling and search it again.
    """
    n, oh, _, _ = offsets.shape
    rows = jnp.broadcast_to(jnp.arange(oh)[:, None, None], (n, oh, 1, 1))
    return jnp.take_along_axis(offsets, rows, axis=1, mode="promise_in_bounds")


def _reduced_maxima(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    h, w = geometry.input_size
    flat = jnp.broadcast_to(jnp.arange(h * w, dtype=jnp.int32).reshape(h, w, 1), x.shape)

    def larger(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        (value, place), (other, other_place) = a, b
        nan, other_nan = value != value, other != other
        before = other_place < place
        replaces = jnp.where(other_nan, ~nan | ~before, ~nan & ((other > value) | (other == value) & before))
        return jnp.where(replaces, other, value), jnp.where(replaces, other_place, place)

    _, places = lax.reduce_window(
        (x, flat),
        (_lowest(x.dtype), jnp.int32(np.iinfo(np.int32).max)),
        larger,
        window_dimensions=(1, *geometry.window, 1),
        window_strides=(1, *geometry.strides, 1),
        padding=((0, 0), *geometry.edges, (0, 0)),
        window_dilation=(1, *geometry.dilation, 1),
    )
    offsets, _ = offsets_of(places, geometry)
    return take(x, offsets, geometry), offsets


def _lowest(dtype: np.dtype) -> Array:
    return jnp.asarray(-jnp.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min, dtype)
