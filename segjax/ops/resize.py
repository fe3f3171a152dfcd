"""Resizing by separable interpolation: every method is a table of taps per axis, and so is its transpose."""

from collections.abc import Sequence
from functools import partial, reduce
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Shaped

from segjax.ops.geometry import Pair, pair, symbolic
from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import Multilinear, derivative, like
from segjax.ops.phases import apart, repeated, woven
from segjax.ops.precision import widen
from segjax.ops.taps import ResizeMethod, Taps, taps_of


@on_any_mesh
def resize(
    x: Shaped[Array, "n h w c"],
    size: int | Sequence[int],
    method: ResizeMethod = "bilinear",
    *,
    align_corners: bool = False,
) -> Shaped[Array, "n height width c"]:
    """Resize to `size`, (height, width) or one int for both, as `torch.nn.functional.interpolate(size=size)` does.

    Values and gradients are torch's for every size up and down: "nearest" reads the pixel at the floor of the scaled
    position, "nearest-exact" the one under the centre, "bicubic" is Keys' kernel with a = -0.75, "area" averages the
    pixels that each output cell touches (adaptive average pooling), and none of them blurs before it shrinks.
    `align_corners` makes the centres of the corner pixels coincide instead of the corners of the image.

    Any floating dtype; float16 and bfloat16 are accumulated in float32 and rounded once at the end. The two nearest
    methods take integers and booleans too. Gradients of every order are gathers: nothing scatters.

    Raises:
        ValueError: where `x` is not (n h w c) or holds no pixel, `size` is below 1, `method` is none of the above, `x`
            is not floating for a method that averages, or `align_corners` is asked of a method other than bilinear and
            bicubic.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.resize(x, (1, 4))[0, 0, :, 0].tolist()
        [1.0, 1.25, 1.75, 2.0]
    """
    if x.ndim != 4 or 0 in x.shape[1:3]:
        raise ValueError(f"resize needs (n h w c) with at least one pixel, got shape {x.shape}.")
    if method not in get_args(ResizeMethod):
        raise ValueError(f"resize method must be one of {', '.join(get_args(ResizeMethod))}, got {method!r}.")
    if align_corners and method not in ("bilinear", "bicubic"):
        raise ValueError(f"align_corners is for bilinear and bicubic, got method {method!r}.")
    if not jnp.issubdtype(x.dtype, jnp.floating) and method not in ("nearest", "nearest-exact"):
        raise ValueError(f"resize by {method} needs a floating dtype, got {x.dtype} of shape {x.shape}: use nearest.")

    sides = size if isinstance(size, Sequence) else (size, size)
    if symbolic(*x.shape[1:3], *sides):
        return _resized_when_run(x, sides, method, align_corners)
    return _resize(x, pair(size, "size"), method, align_corners)


_MOST_PHASES = 16
"""Of a repeated pixel, that a CPU adds up as slices: as a sum over axes XLA computes anew whatever they come from."""


@partial(jax.jit, static_argnums=(1, 2, 3), inline=True)
def _resize(x: Array, size: Pair, method: ResizeMethod, align_corners: bool) -> Array:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    wide = widen(x) if floating else x
    rows = taps_of(x.shape[1], size[0], method, align_corners, wide.dtype)
    columns = taps_of(x.shape[2], size[1], method, align_corners, wide.dtype)
    # A gather would be as fast on a CPU; a broadcast also stays local where rows or columns are sharded.
    out = _repeat(wide, rows, columns) if rows.repeats and columns.repeats else _interpolate(wide, rows, columns)
    return out.astype(x.dtype)


def _resized_when_run(x: Array, size: Sequence[int], method: ResizeMethod, align_corners: bool) -> Array:
    """The same for sizes that are symbols of `jax.export`, whose taps are found when the program runs."""
    y = widen(x) if jnp.issubdtype(x.dtype, jnp.floating) else x
    for axis, out in zip((1, 2), size, strict=True):
        length = x.shape[axis]
        position, ratio = jnp.arange(out, dtype=jnp.float32), jnp.float32(length) / jnp.float32(out)
        if method in ("nearest", "nearest-exact"):
            source = (position + (0.5 if method == "nearest-exact" else 0)) * ratio
            y = jnp.take(y, jnp.floor(source).astype(jnp.int32), axis, mode="clip")
            continue
        if method == "area" and out == 1:
            y = y.mean(axis, keepdims=True)
            continue
        if method != "bilinear":
            raise ValueError(f"resize by {method} needs sizes that are numbers, got {tuple(size)} of {x.shape}.")
        if align_corners:
            source = position * (jnp.float32(length - 1) / jnp.maximum(jnp.float32(out - 1), 1))
        else:
            source = jnp.maximum((position + 0.5) * ratio - 0.5, 0)
        floor = jnp.floor(source)
        weight = (source - floor).reshape(_shape_along(axis, x.ndim)).astype(y.dtype)
        low = jnp.take(y, floor.astype(jnp.int32), axis, mode="clip")
        y = low * (1 - weight) + jnp.take(y, floor.astype(jnp.int32) + 1, axis, mode="clip") * weight
    return y.astype(x.dtype)


def _repeat(x: Array, rows: Taps, columns: Taps) -> Array:
    factors = rows.index.shape[1] // x.shape[1], columns.index.shape[1] // x.shape[2]
    on_cpu = (_summed_phases, _repeated) if factors[0] * factors[1] <= _MOST_PHASES else None
    arrays = like(x), like(x, _resized(x, rows, columns))
    form = Multilinear((_summed, _repeated), factors, on_cpu, on_tpu=(_summed_phases, repeated), arrays=arrays)
    return derivative(form, 1, x)


def _resized(x: Array, rows: Taps, columns: Taps) -> tuple[int, int, int, int]:
    return x.shape[0], rows.index.shape[1], columns.index.shape[1], x.shape[3]


def _repeated(x: Array, factors: Pair) -> Array:
    (n, h, w, c), (down, across) = x.shape, factors
    return jnp.broadcast_to(x[:, :, None, :, None], (n, h, down, w, across, c)).reshape(n, h * down, w * across, c)


def _summed(y: Array, factors: Pair) -> Array:
    (n, h, w, c), (down, across) = y.shape, factors
    return y.reshape(n, h // down, down, w // across, across, c).sum((2, 4))


def _summed_phases(y: Array, factors: Pair) -> Array:
    return reduce(jnp.add, apart(y, factors))


def _interpolate(x: Array, rows: Taps, columns: Taps) -> Array:
    plain, on_tpu = (_transposed, _interpolated), (_transposed_phases, _interpolated_phases)
    arrays = like(x), like(x, _resized(x, rows, columns))
    return derivative(Multilinear(plain, (rows, columns), on_tpu=on_tpu, arrays=arrays), 1, x)


def _interpolated(x: Array, taps: tuple[Taps, Taps]) -> Array:
    """Both axes in turn."""
    rows, columns = taps
    between = _along(x, rows, 1)
    if len(rows.index) * len(columns.index) > 4:
        # One fused loop would redo the rows for each tap of the columns. With 2 x 2 taps that is cheaper than storing
        # the rows; with 4 x 4 (bilinear x2, backward) it is slower.
        between = lax.optimization_barrier(between)
    return _along(between, columns, 2)


def _transposed(y: Array, taps: tuple[Taps, Taps]) -> Array:
    """The same thing over the transposed taps."""
    rows, columns = taps
    return _interpolated(y, (rows.transposed, columns.transposed))


def _interpolated_phases(x: Array, taps: tuple[Taps, Taps]) -> Array:
    """Without gathers where it can be."""
    rows, columns = taps
    return _along_phases(_along_phases(x, columns, 2), rows, 1)


def _transposed_phases(y: Array, taps: tuple[Taps, Taps]) -> Array:
    rows, columns = taps
    return _interpolated_phases(y, (rows.transposed, columns.transposed))


def _along_phases(x: Array, taps: Taps, axis: int) -> Array:
    """Sums of slices, where an axis grows or shrinks by a whole factor and few slices are read."""
    bands = taps.bands
    if bands is None:
        return _along(x, taps, axis)
    size, out = taps.size, taps.index.shape[1]
    reach = max(abs(at) for _, at in bands)
    x = jnp.pad(x, [(reach, reach) if i == axis else (0, 0) for i in range(x.ndim)])
    step, count = max(1, size // out), max(1, out // size)
    parts: list[list[Array]] = [[] for _ in range(count)]
    for (phase, at), weight in bands.items():
        read = lax.slice_in_dim(x, reach + at, reach + at + (out // count - 1) * step + 1, step, axis)
        parts[phase].append(read * weight.reshape(_shape_along(axis, x.ndim)).astype(x.dtype))
    return woven([reduce(jnp.add, part) for part in parts], (count, 1) if axis == 1 else (1, count))


def _along(x: Array, taps: Taps, axis: int) -> Array:
    """Weighted takes, unrolled: faster on a CPU than a matrix product, even with 74 taps.

    Beyond 16 taps a scan over blocks of them keeps the program small.
    """
    shape = _shape_along(axis, x.ndim)
    count, out = taps.index.shape
    blocks = -(-count // 16)
    block = -(-count // blocks)
    missing = ((0, blocks * block - count), (0, 0))
    index = np.pad(taps.index, missing, constant_values=-1).reshape(blocks, block, out).astype(np.int32)
    weight = np.pad(taps.weight, missing).reshape(blocks, block, *shape).astype(x.dtype)
    ragged = bool((index < 0).any())

    def term(index: Array | np.ndarray, weight: Array | np.ndarray) -> Array:
        value = _take(x, index, axis) * weight
        return jnp.where(index.reshape(shape) < 0, 0, value) if ragged else value

    def add(index: Array | np.ndarray, weight: Array | np.ndarray) -> Array:
        return reduce(jnp.add, map(term, index, weight))

    total = add(index[0], weight[0])
    if blocks == 1:
        return total
    return lax.scan(lambda total, block: (total + add(*block), None), total, (index[1:], weight[1:]))[0]


def _shape_along(axis: int, axes: int) -> tuple[int, ...]:
    """Of numbers that lie along one of so many axes."""
    return (*(1,) * axis, -1, *(1,) * (axes - 1 - axis))


def _take(x: Array, index: Array | np.ndarray, axis: int) -> Array:
    """`jnp.take` along an axis whose leading axes are batch axes of the gather.

    XLA puts the gathered axis of a plain `take` first in memory and copies the result back into order wherever it is
    one of several outputs.
    """
    index = jnp.broadcast_to(index, x.shape[:axis] + index.shape)
    take = partial(jnp.take, axis=0, mode="clip")
    for _ in range(axis):
        take = jax.vmap(take)
    return take(x, index)
