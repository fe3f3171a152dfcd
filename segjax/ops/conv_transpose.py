"""Transposed convolution, as ordinary convolutions at the low resolution."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from segjax.ops.geometry import Pair, extent, pair


def conv_transpose(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c k"],
    strides: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Array, "n oh ow groups*k"]:
    """Transposed convolution, equal to `torch.nn.functional.conv_transpose2d`, forward and gradients of every order.

    Pixel i adds `x[i] @ kernel[t]` to output pixel `i * strides - padding + t * dilation`, for each tap t that lands
    inside the output of `(size - 1) * strides - 2 * padding + dilation * (taps - 1) + output_padding + 1` pixels.

    Args:
        x: the features.
        kernel: (rows, columns, channels in, channels out / groups), not flipped: torch's `weight.transpose(2, 3, 0, 1)`.
        strides, padding, output_padding, dilation: an int, or a pair for rows and columns.
        groups: the channels in and out are cut into this many groups, each of which sees only its own.

    Raises:
        ValueError: shapes that do not fit, `output_padding` that is smaller than neither stride nor dilation, a
            geometry with no output, or two dtypes.

    With strides (s, t) the output is s * t interleaved phases, and each is a convolution of stride 1 of `x` with every
    s-th, t-th tap: no multiplication by the zeros that an input-dilated convolution is full of, which XLA runs on CPU
    about 100 times slower. The gradient of `x` is one strided convolution of the output's gradient, not the sum over
    phases that differentiation would make of it (half its time on CPU).
    """
    _check(x, kernel, groups)
    fields = zip(
        pair(strides, "strides"),
        pair(padding, "padding", minimum=0),
        pair(output_padding, "output_padding", minimum=0),
        pair(dilation, "dilation"),
        kernel.shape[:2],
        x.shape[1:3],
        strict=True,
    )
    geometry = _Geometry(*(_Axis(*axis) for axis in fields), groups=groups)
    for axis in geometry[:2]:
        if axis.output_padding >= max(axis.stride, axis.dilation):
            raise ValueError(
                f"conv_transpose needs output_padding below the stride or the dilation, got output_padding "
                f"{axis.output_padding} with stride {axis.stride} and dilation {axis.dilation}."
            )
    if geometry.rows.out < 1 or geometry.cols.out < 1:
        raise ValueError(
            f"conv_transpose of x {x.shape} with kernel {kernel.shape} has no output: padding {pair(padding, '', 0)} "
            f"leaves {geometry.rows.out} rows and {geometry.cols.out} columns."
        )
    return _spread(x, kernel, geometry)


def _check(x: Array, kernel: Array, groups: int) -> None:
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(
            f"conv_transpose takes x (n, h, w, c) and kernel (rows, columns, c, k), got {x.shape} and {kernel.shape}."
        )
    if x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"conv_transpose takes a kernel (rows, columns, channels of x, channels out / groups), got kernel "
            f"{kernel.shape} for x {x.shape}."
        )
    if groups < 1 or x.shape[-1] % groups:
        raise ValueError(f"conv_transpose's groups must divide the channels of x {x.shape}, got groups={groups}.")
    if 0 in x.shape[1:] or 0 in kernel.shape:
        raise ValueError(f"conv_transpose needs pixels, channels and taps, got x {x.shape} and kernel {kernel.shape}.")
    if x.dtype != kernel.dtype:
        raise ValueError(f"conv_transpose computes in one dtype, got x {x.dtype} and kernel {kernel.dtype}: cast one.")


class _Taps(NamedTuple):
    """Taps of one phase along one axis: output step m reads inputs m + first, m + first + dilation, ..., m + last."""

    index: slice
    first: int
    last: int
    dilation: int


class _Axis(NamedTuple):
    """One spatial axis: input i reaches output o through tap t where i * stride + t * dilation == o + padding."""

    stride: int
    padding: int
    output_padding: int
    dilation: int
    taps: int
    size: int

    @property
    def out(self) -> int:
        spread = (self.size - 1) * self.stride + extent(self.taps, self.dilation)
        return spread - 2 * self.padding + self.output_padding

    @property
    def steps(self) -> int:
        """Outputs of each phase; those past the end are cropped."""
        return -(-self.out // self.stride)

    def phase(self, r: int) -> _Taps | None:
        """What reaches outputs r, r + stride, ..., as indices of the flipped kernel; None where nothing does."""
        reach = [self.padding + r - (self.taps - 1 - t) * self.dilation for t in range(self.taps)]
        index = [t for t in range(self.taps) if reach[t] % self.stride == 0]
        if not index:
            return None
        offsets = [reach[t] // self.stride for t in index]
        step, dilation = (index[1] - index[0], offsets[1] - offsets[0]) if len(index) > 1 else (1, 1)
        return _Taps(slice(index[0], index[-1] + 1, step), offsets[0], offsets[-1], dilation)


class _Geometry(NamedTuple):
    rows: _Axis
    cols: _Axis
    groups: int


# Three maps, linear in either argument, whose derivatives are each other: gradients of every order are then made of
# the forms that are fast, where differentiating a strided convolution would dilate its input.


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _spread(x: Array, kernel: Array, geometry: _Geometry) -> Array:
    """The transposed convolution."""
    return _phases(x, kernel, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _gather(g: Array, kernel: Array, geometry: _Geometry) -> Array:
    """The gradient of x."""
    return _strided(g, kernel, geometry)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlate(x: Array, g: Array, geometry: _Geometry) -> Array:
    """The gradient of the kernel."""
    shape = (geometry.rows.taps, geometry.cols.taps, x.shape[-1], g.shape[-1] // geometry.groups)
    kernel = jax.ShapeDtypeStruct(shape, x.dtype)
    (gradient,) = jax.linear_transpose(lambda kernel: _phases(x, kernel, geometry), kernel)(g)
    return gradient


_spread.defvjp(
    lambda x, kernel, geometry: (_spread(x, kernel, geometry), (x, kernel)),
    lambda geometry, saved, g: (_gather(g, saved[1], geometry), _correlate(saved[0], g, geometry)),
)
_gather.defvjp(
    lambda g, kernel, geometry: (_gather(g, kernel, geometry), (g, kernel)),
    lambda geometry, saved, x: (_spread(x, saved[1], geometry), _correlate(x, saved[0], geometry)),
)
_correlate.defvjp(
    lambda x, g, geometry: (_correlate(x, g, geometry), (x, g)),
    lambda geometry, saved, kernel: (_gather(saved[1], kernel, geometry), _spread(saved[0], kernel, geometry)),
)


def _strided(g: Array, kernel: Array, geometry: _Geometry) -> Array:
    rows, cols, groups = geometry
    # Output padding is pixels past the last tap: where there are more of them than padding, the end is negative.
    pads = [(axis.padding, axis.padding - axis.output_padding) for axis in (rows, cols)]
    dilation = (rows.dilation, cols.dilation)
    return _convolve(g, kernel.swapaxes(2, 3), pads, (rows.stride, cols.stride), dilation, groups)


def _phases(x: Array, kernel: Array, geometry: _Geometry) -> Array:
    rows, cols, groups = geometry
    kh, kw, c, per_group = kernel.shape
    kernel = kernel[::-1, ::-1].reshape(kh, kw, groups, c // groups, per_group)
    kernel = kernel.swapaxes(2, 3).reshape(kh, kw, c // groups, groups * per_group)
    blank = jnp.zeros((len(x), rows.steps, cols.steps, groups * per_group), x.dtype)

    def phase(up: _Taps | None, left: _Taps | None) -> Array:
        if up is None or left is None:
            return blank
        pads = [(-up.first, up.last + rows.steps - rows.size), (-left.first, left.last + cols.steps - cols.size)]
        return _convolve(x, kernel[up.index, left.index], pads, (1, 1), (up.dilation, left.dilation), groups)

    columns = [cols.phase(v) for v in range(cols.stride)]
    lines = [jnp.stack([phase(rows.phase(u), left) for left in columns], axis=3) for u in range(rows.stride)]
    y = jnp.stack(lines, axis=2).reshape(len(x), rows.steps * rows.stride, cols.steps * cols.stride, -1)
    return y[:, : rows.out, : cols.out]


def _convolve(x: Array, kernel: Array, pads: Sequence[Pair], strides: Pair, dilation: Pair, groups: int) -> Array:
    """`lax.conv_general_dilated`, with crops where a padding is negative, and zeros where they leave nothing."""
    size = [
        (i + lo + hi - extent(taps, d)) // s + 1
        for i, (lo, hi), taps, s, d in zip(x.shape[1:3], pads, kernel.shape, strides, dilation, strict=False)
    ]
    (top, bottom), (left, right) = pads
    x = x[:, max(-top, 0) : max(x.shape[1] + min(bottom, 0), 0), max(-left, 0) : max(x.shape[2] + min(right, 0), 0)]
    if 0 in x.shape[1:3]:
        return jnp.zeros((len(x), *size, kernel.shape[-1]), x.dtype)
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(max(lo, 0), max(hi, 0)) for lo, hi in pads],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
