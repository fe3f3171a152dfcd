"""Resizing by separable interpolation, forward and backward as gathers with static tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Shaped

from segjax.ops.geometry import pair

ResizeMethod = Literal["nearest", "nearest-exact", "bilinear", "bicubic", "area"]


def resize(
    x: Shaped[Array, "n h w c"],
    size: int | Sequence[int],
    method: ResizeMethod = "bilinear",
    align_corners: bool = False,
) -> Shaped[Array, "n height width c"]:
    """Resize to `size`, (height, width) or one int for both, as `torch.nn.functional.interpolate` does."""
    if x.ndim != 4 or 0 in x.shape[1:3]:
        raise ValueError(f"resize needs (n h w c) with at least one pixel, got shape {x.shape}")
    height, width = pair(size, "size")
    if method not in get_args(ResizeMethod):
        raise ValueError(f"unknown resize method {method!r}: expected one of {', '.join(get_args(ResizeMethod))}")
    if align_corners and method not in ("bilinear", "bicubic"):
        raise ValueError(f"align_corners has a meaning for bilinear and bicubic alone, got method {method!r}")
    if (height, width) == x.shape[1:3]:
        return x

    narrow = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    wide = x.astype(jnp.float32) if narrow else x
    rows = _taps(x.shape[1], height, method, align_corners, wide.dtype)
    columns = _taps(x.shape[2], width, method, align_corners, wide.dtype)
    return _interpolate(wide, rows, columns).astype(x.dtype)


@dataclass(frozen=True)
class _Taps:
    """Where each output position of one axis reads: `out[o] = sum over t of weight[t, o] * in[index[t, o]]`."""

    index: np.ndarray
    weight: np.ndarray
    size: int  # of the input axis


def _taps(size: int, out: int, method: ResizeMethod, align_corners: bool, dtype: np.dtype) -> _Taps:
    position = np.arange(out)
    if method == "area":
        first, last = position * size // out, -(-(position + 1) * size // out)
        index = first + np.arange((last - first).max())[:, None]
        return _Taps(np.minimum(index, size - 1), (index < last) / (last - first), size)
    if method in ("nearest", "nearest-exact"):
        centre = np.float32(0.5 if method == "nearest-exact" else 0)
        source = (position.astype(np.float32) + centre) * (np.float32(size) / np.float32(out))
        index = np.minimum(np.floor(source).astype(int), size - 1)
        return _Taps(index[None], np.ones((1, out)), size)

    # torch finds the source in the dtype it accumulates in, with one rounding (a fused multiply-add). Exact weights
    # would differ from its own by more than 1e-6.
    real = np.float64 if dtype == np.float64 else np.float32
    if align_corners:
        scale = real(size - 1) / real(out - 1) if out > 1 else real(0)
        source = (position * np.float64(scale)).astype(real)
    else:
        scale = real(size) / real(out)
        source = ((position + 0.5) * np.float64(scale) - 0.5).astype(real)
    if method == "bilinear":
        source = np.maximum(source, 0)
    floor = np.floor(source)
    t = (source - floor).astype(np.float64)
    if method == "bilinear":
        offset, weight = np.arange(2), np.stack([1 - t, t])
    else:
        offset, weight = np.arange(-1, 3), np.stack([_cubic(1 + t), _cubic(t), _cubic(1 - t), _cubic(2 - t)])
    return _Taps(np.clip(floor.astype(int) + offset[:, None], 0, size - 1), weight, size)


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """Keys' convolution kernel."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, far)


def _transpose(taps: _Taps) -> _Taps:
    """The adjoint as taps: where each input position's gradient reads among the outputs."""
    out = taps.index.shape[1]
    entry, which = np.unique(taps.index * out + np.arange(out), return_inverse=True)
    weight = np.bincount(which.ravel(), taps.weight.ravel())
    row, column = np.divmod(entry[weight != 0], out)
    weight = weight[weight != 0]
    count = np.bincount(row, minlength=taps.size)
    start = np.cumsum(count) - count
    rank = np.arange(len(row)) - start[row]
    # A position with fewer readers than the most read again their first, with weight zero.
    index = np.tile(column[np.minimum(start, len(row) - 1)], (count.max(), 1))
    table = np.zeros(index.shape)
    index[rank, row], table[rank, row] = column, weight
    return _Taps(index, table, out)


def _interpolate(x: Array, rows: _Taps, columns: _Taps) -> Array:
    """A linear map whose transpose is of the same kind, so that gradients of every order are gathers."""

    @jax.custom_vjp
    def forward(x: Array) -> Array:
        return _along(_along(x, rows, 1), columns, 2)

    def backward(_: None, gradient: Array) -> tuple[Array]:
        return (_interpolate(gradient, _transpose(rows), _transpose(columns)),)

    forward.defvjp(lambda x: (forward(x), None), backward)
    return forward(x)


def _along(x: Array, taps: _Taps, axis: int) -> Array:
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    terms = [
        jnp.take(x, index, axis, mode="clip") * jnp.asarray(weight.reshape(shape), x.dtype)
        for index, weight in zip(taps.index.astype(np.int32), taps.weight, strict=True)
    ]
    return sum(terms[1:], terms[0])
