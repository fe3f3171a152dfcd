"""Reading the cells of pooling windows, and writing to them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Integer, Num

from segjax.ops.multilinear import Multilinear, derivative
from segjax.ops.phases import woven
from segjax.ops.pool_geometry import PoolGeometry, Span
from segjax.ops.pool_indices import PoolIndices, nowhere
from segjax.ops.precision import at_least_float32

FEW_CELLS = 9
"""Cells of a window up to which XLA:CPU makes one good loop of reading them where they lie, without a copy."""
FEW_WINDOWS = 64
"""Windows that share a cell up to which comparing the plane with each of them beats a scatter: see `max_unpool`."""


def window_cells(x: Num[Array, "n h w c"], geometry: PoolGeometry, fill: ArrayLike) -> Iterator[Num[Array, "n i j c"]]:
    """For each cell of the window, in row-major order, what each window has there: `fill` outside the input."""
    fill = jnp.asarray(fill, x.dtype)
    if geometry.cells > FEW_CELLS:
        x = lax.pad(x, fill, ((0, 0, 0), *((*edge, 0) for edge in geometry.edges), (0, 0, 0)))
        geometry = dataclasses.replace(geometry, input_size=x.shape[1:3], padding=((0, 0), (0, 0)))
    for rows, columns in _spans(geometry):
        part = x[:, rows.held, columns.held]
        if any(rows.outside + columns.outside):
            part = lax.pad(part, fill, ((0, 0, 0), (*rows.outside, 0), (*columns.outside, 0), (0, 0, 0)))
        yield part


def gathered_window_cells(
    x: Num[Array, "n h w c"], geometry: PoolGeometry, fill: ArrayLike
) -> Iterator[Num[Array, "n i j c"]]:
    """The same by gathers: XLA:CPU stores a pad whose result is used more than once, and a gather it does not."""
    for rows, columns in _spans(geometry):
        if any(rows.outside + columns.outside):
            part = jnp.take(jnp.take(x, rows.at, axis=1, mode="clip"), columns.at, axis=2, mode="clip")
            yield jnp.where((rows.inside[:, None] & columns.inside)[None, ..., None], part, jnp.asarray(fill, x.dtype))
        else:
            yield x[:, rows.held, columns.held]


@functools.partial(jax.jit, static_argnames=("geometry",), inline=True)
def take(x: Num[Array, "n h w c"], offsets: Integer[Array, "n i j c"], geometry: PoolGeometry) -> Num[Array, "n i j c"]:
    """For each window, what the plane `x` has at its cell; zero where it points nowhere."""
    if geometry.cells > FEW_CELLS or _crowded(geometry):
        n, h, w, c = x.shape
        places = _places(offsets, geometry)
        values = jnp.take_along_axis(x.reshape(n, h * w, c), places, axis=1, mode="fill", fill_value=0)
        return values.reshape(offsets.shape)
    values = jnp.zeros(offsets.shape, x.dtype)
    for cell, part in enumerate(window_cells(x, geometry, 0)):
        values = jnp.where(offsets == cell, part, values)
    return values


@functools.partial(jax.jit, static_argnames=("geometry",), inline=True)
def spread(
    x: Num[Array, "n i j c"], offsets: Integer[Array, "n i j c"], geometry: PoolGeometry
) -> Num[Array, "n h w c"]:
    """The plane with each window's value at its cell, zeros elsewhere; the last window wins a cell they share."""
    if math.prod(geometry.sharing) == 1 and 0 not in geometry.strides:  # no cell is shared
        return derivative(pooling(geometry), 0, x, offsets)
    if _crowded(geometry):
        return _scatter_last(x, offsets, geometry)
    return _write(x, offsets, geometry, adding=False, way=_by_block)


@functools.partial(jax.jit, static_argnames=("geometry", "way"), inline=True)
def spread_sum(
    x: Num[Array, "n i j c"], offsets: Integer[Array, "n i j c"], geometry: PoolGeometry, way: _Way
) -> Num[Array, "n h w c"]:
    """The plane with the sum of the windows' values at each cell: the transpose of `take`."""
    if 0 in geometry.strides:  # one window for all
        plane = jax.ShapeDtypeStruct((x.shape[0], *geometry.input_size, x.shape[-1]), x.dtype)
        return jax.linear_transpose(lambda plane: take(plane, offsets, geometry), plane)(x)[0]
    several = math.prod(geometry.sharing) > 1
    wide = at_least_float32(x.dtype) if several else x.dtype
    return _write(x.astype(wide), offsets, geometry, adding=True, way=way).astype(x.dtype)


def pooling(geometry: PoolGeometry) -> Multilinear:
    """Of a plane and a number for each window, with the windows' offsets: the sum of each times what it points to."""
    return Multilinear(_DERIVATIVES, geometry, on_tpu=_ON_TPU)


def _write(x: Array, offsets: Array, geometry: PoolGeometry, *, adding: bool, way: _Way) -> Array:
    """The plane in blocks of the size of a stride, compared with each window that can reach a block in turn.

    These are the windows that start in the block or a few blocks before: one, where windows do not overlap, and then
    all of this is one loop that writes the plane once and stores nothing else.
    """
    n, _, _, c = x.shape
    (h, w), (sh, sw), ((top, _), (left, _)) = geometry.input_size, geometry.strides, geometry.padding
    blocks = -(-(h + top) // sh), -(-(w + left) // sw)
    reach = geometry.sharing
    # One padded copy of both for all: it also keeps XLA from searching for the maxima anew for each window.
    rows, columns = ((r - 1, m - size, 0) for r, m, size in zip(reach, blocks, geometry.output_size, strict=True))
    edges = ((0, 0, 0), rows, columns, (0, 0, 0))
    x = lax.pad(x, jnp.zeros((), x.dtype), edges)
    offsets = lax.pad(offsets, jnp.asarray(nowhere(geometry), offsets.dtype), edges)  # an export has them as int32

    def seen_by(window: int | Array) -> tuple[Array, Array]:
        start = (0, *divmod(window, reach[1]), 0)
        value, offset = (lax.dynamic_slice(a, start, (n, *blocks, c)) for a in (x, offsets))
        return value, offset

    def written(plane: Array, hit: Array, value: Array) -> Array:
        return plane + jnp.where(hit, value, 0) if adding else jnp.where(hit, value, plane)

    plane = way(jnp.zeros((n, *blocks, c), x.dtype), _codes(geometry), seen_by, written)
    return plane[:, top : top + h, left : left + w]


_Way = Callable[
    [Array, np.ndarray, Callable[[int | Array], tuple[Array, Array]], Callable[[Array, Array, Array], Array]], Array
]
"""How the plane is held: of zeros for a cell of each block, the codes, what a window brings, and what it does."""


def _by_block(
    zeros: Array, codes: np.ndarray, seen_by: Callable[..., tuple[Array, Array]], written: Callable[..., Array]
) -> Array:
    """A block's cells beside each other, as they lie in the plane."""
    (n, h, w, c), (windows, sh, sw) = zeros.shape, codes.shape
    constant = jnp.asarray(codes)

    def write(window: int | Array, plane: Array) -> Array:
        value, offset = (a[:, :, None, :, None] for a in seen_by(window))
        return written(plane, offset == constant[window][None, None, :, None, :, None], value)

    plane = jnp.zeros((n, h, sh, w, sw, c), zeros.dtype)
    if windows <= FEW_WINDOWS:
        plane = functools.reduce(lambda plane, window: write(window, plane), range(windows), plane)
    else:
        plane = lax.fori_loop(0, windows, write, plane)
    return plane.reshape(n, h * sh, w * sw, c)


def _by_phase(
    zeros: Array, codes: np.ndarray, seen_by: Callable[..., tuple[Array, Array]], written: Callable[..., Array]
) -> Array:
    """Each cell of all blocks in turn, for TPUs."""
    windows, sh, sw = codes.shape
    if windows * sh * sw > FEW_WINDOWS:
        return _by_block(zeros, codes, seen_by, written)
    phases = []
    for cell in itertools.product(range(sh), range(sw)):
        plane = zeros
        for window in range(windows):
            value, offset = seen_by(window)
            plane = written(plane, offset == codes[(window, *cell)], value)
        phases.append(plane)
    return woven(phases, (sh, sw))


_DERIVATIVES, _ON_TPU = ((functools.partial(spread_sum, way=way), take) for way in (_by_block, _by_phase))
"""The same objects each time, by which jax finds what it has compiled."""


def _codes(geometry: PoolGeometry) -> np.ndarray:
    """For each window that can reach a block, the first window first, the offset of each cell of the block in it."""
    axes = []
    for axis, reach in enumerate(geometry.sharing):
        stride, length = geometry.strides[axis], geometry.window[axis]
        distance = np.arange(reach)[::-1, None] * stride + np.arange(stride)
        cell, rest = np.divmod(distance, geometry.dilation[axis])
        axes.append(np.where((rest == 0) & (cell < length), cell, -1))
    rows, columns = axes[0][:, None, :, None], axes[1][None, :, None, :]
    # A cell that the window leaves out must differ from `nowhere` too.
    codes = np.where((rows < 0) | (columns < 0), nowhere(geometry) - 1, rows * geometry.window[1] + columns)
    return codes.reshape(-1, *geometry.strides).astype(nowhere(geometry).dtype)


def _scatter_last(x: Array, offsets: Array, geometry: PoolGeometry) -> Array:
    """The same by index scatter, image by image: of the windows' ranks, whose maximum does not depend on an order."""
    (n, _, _, c), (h, w) = x.shape, geometry.input_size
    x = x.reshape(n, -1, c)

    def image(x: Array, places: Array) -> Array:
        rank = lax.broadcasted_iota(jnp.int32, x.shape, 0)
        last = jnp.full((h * w, c), -1, jnp.int32).at[places, np.arange(c)].max(rank, mode="drop")
        return jnp.where(last < 0, 0, jnp.take_along_axis(x, last, axis=0, mode="clip"))

    return jax.vmap(image)(x, _places(offsets, geometry)).reshape(n, h, w, c)


def _places(offsets: Array, geometry: PoolGeometry) -> Array:
    """Positions in the plane, (n i*j c), and its size for a window that points nowhere."""
    n, _, _, c = offsets.shape
    flat = PoolIndices(offsets, geometry).flat()
    return jnp.where(offsets == nowhere(geometry), math.prod(geometry.input_size), flat).reshape(n, -1, c)


def _crowded(geometry: PoolGeometry) -> bool:
    return 0 in geometry.strides or math.prod(geometry.sharing) > FEW_WINDOWS


def _spans(geometry: PoolGeometry) -> Iterator[tuple[Span, Span]]:
    rows, columns = ([geometry.span(axis, cell) for cell in range(geometry.window[axis])] for axis in (0, 1))
    return itertools.product(rows, columns)
