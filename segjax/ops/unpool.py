"""Max-unpooling, and the gradient that max-pooling shares with it."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Integer

from segjax.ops.pool_geometry import PoolGeometry
from segjax.ops.pool_indices import PoolIndices, nowhere


def max_unpool(x: Float[Array, "n oh ow c"], indices: PoolIndices) -> Float[Array, "n h w c"]:
    """Each value of `x` at the place in the plane that its index names, zeros elsewhere."""
    geometry = indices.geometry
    expected = (*indices.offsets.shape[:-3], *geometry.output_size, indices.offsets.shape[-1])
    if x.shape != expected:
        raise ValueError(f"x of shape {x.shape} does not match indices of shape {expected} (n h w c).")
    return _unpool(x, indices)


@jax.custom_vjp
def _unpool(x: Array, indices: PoolIndices) -> Array:
    offsets = indices.unpack().offsets
    return spread(x, offsets, indices.geometry, "last")


def _unpool_forward(x: Array, indices: PoolIndices) -> tuple[Array, PoolIndices]:
    return _unpool(x, indices), indices


def _unpool_backward(indices: PoolIndices, g: Array) -> tuple[Array, None]:
    return take(g, indices.unpack().offsets, indices.geometry), None


_unpool.defvjp(_unpool_forward, _unpool_backward)


@functools.partial(jax.jit, static_argnames=("geometry", "combine"), inline=True)
def spread(x: Array, offsets: Array, geometry: PoolGeometry, combine: Literal["last", "sum"]) -> Array:
    """Each window's value at its cell of the input plane; where windows share it, the last one's or the sum."""
    n, oh, ow, c = x.shape
    (sh, sw), ((top, _), (left, _)), (h, w) = geometry.strides, geometry.padding, geometry.input_size
    eh, ew = geometry.extents
    # Blocks of (sh, sw) cells tile the padded input; block m is reached by the windows m - th.
    mh, mw = -(-(h + top) // sh), -(-(w + left) // sw)
    y = None
    for th in reversed(range(-(-eh // sh))):
        for tw in reversed(range(-(-ew // sw))):
            code = _codes(geometry, th, tw, offsets.dtype)
            if (th, tw, mh, mw) == (0, 0, oh, ow):
                xx, oo = x, offsets
            else:
                pad = ((0, 0, 0), (th, mh - oh - th, 0), (tw, mw - ow - tw, 0), (0, 0, 0))
                xx = lax.pad(x, jnp.zeros((), x.dtype), pad)
                oo = lax.pad(offsets, jnp.asarray(nowhere(offsets.dtype), offsets.dtype), pad)
            hit = oo[:, :, None, :, None, :] == code[:, None, :, None]
            value = xx[:, :, None, :, None, :]
            if y is None:
                y = jnp.where(hit, value, 0)
            elif combine == "last":
                y = jnp.where(hit, value, y)
            else:
                y += jnp.where(hit, value, 0)
    assert y is not None
    return y.reshape(n, mh * sh, mw * sw, c)[:, top : top + h, left : left + w]


def _codes(geometry: PoolGeometry, th: int, tw: int, dtype: np.dtype) -> np.ndarray:
    """For each cell of a block, the offset by which the window th, tw blocks before reaches it."""
    cells = []
    for axis, t in enumerate((th, tw)):
        cell, rest = np.divmod(np.arange(geometry.strides[axis]) + t * geometry.strides[axis], geometry.dilation[axis])
        cells.append(np.where((rest == 0) & (cell < geometry.window[axis]), cell, -1))
    rows, columns = cells[0][:, None], cells[1][None]
    code = np.where((rows < 0) | (columns < 0), nowhere(dtype) - 1, rows * geometry.window[1] + columns)
    return code.astype(dtype)


@functools.partial(jax.jit, static_argnames=("geometry",), inline=True)
def take(g: Array, offsets: Array, geometry: PoolGeometry) -> Array:
    """For each window, the value of the plane `g` at its cell."""
    y = jnp.zeros(offsets.shape, g.dtype)
    for cell, part in enumerate(window_slices(g, geometry, jnp.zeros((), g.dtype))):
        y = jnp.where(offsets == cell, part, y)
    return y


def window_slices(x: Array, geometry: PoolGeometry, fill: Array):
    """For each cell of the window, in row-major order, what the windows hold there: `fill` outside the input."""
    (oh, ow), (sh, sw), (dh, dw) = geometry.output_size, geometry.strides, geometry.dilation
    edges = []
    for axis in (0, 1):
        low = geometry.padding[axis][0]
        need = (geometry.output_size[axis] - 1) * geometry.strides[axis] + geometry.extents[axis]
        edges.append((low, max(0, need - geometry.input_size[axis] - low), 0))
    if any(edge != (0, 0, 0) for edge in edges):
        x = lax.pad(x, fill, ((0, 0, 0), *edges, (0, 0, 0)))
    n, _, _, c = x.shape
    for a in range(geometry.window[0]):
        for b in range(geometry.window[1]):
            start = (0, a * dh, b * dw, 0)
            stop = (n, a * dh + (oh - 1) * sh + 1, b * dw + (ow - 1) * sw + 1, c)
            yield lax.slice(x, start, stop, (1, sh, sw, 1))
