"""Transposed convolution, as ordinary convolutions at the low resolution."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from segjax.ops.conv_transpose_geometry import Axis, Geometry, Reach
from segjax.ops.geometry import Pair, extent, pair
from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import Multilinear, derivative, like
from segjax.ops.precision import refuse_whole_numbers

LITTLE = 32
"""Channels of a convolution that small groups are put together in; fewer and more both take longer."""


@on_any_mesh
def conv_transpose(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c k"],
    strides: int | Sequence[int] = 1,
    *,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Array, "n oh ow {groups}*k"]:
    """Transposed convolution, equal to `torch.nn.functional.conv_transpose2d`, forward and gradients of every order.

    Pixel i adds `x[i] @ kernel[t]` to output pixel `i * strides - padding + t * dilation`, for each tap t that lands
    inside the output of `(size - 1) * strides - 2 * padding + dilation * (taps - 1) + output_padding + 1` pixels.

    Args:
        x: the features.
        kernel: (rows, columns, channels in, channels out / groups), not flipped: `weight.transpose(2, 3, 0, 1)` of
            torch's.
        strides: an int, or a pair for rows and columns, as are the next three.
        padding: what is cut off around the output.
        output_padding: what is added to it below and on the right.
        dilation: how far taps of the kernel are apart.
        groups: the channels in and out are cut into this many groups, each of which sees only its own.

    Raises:
        ValueError: shapes that do not fit, `output_padding` below neither the stride nor the dilation, a geometry with
            no output, two dtypes, or whole numbers.

    How it runs: with strides (s, t) the output is s * t interleaved phases, each a convolution of stride 1 of `x` with
    every s-th and t-th tap. None multiplies the zeros that an input-dilated convolution is full of. Where a phase has
    one tap (2x2, stride 2) all phases are one matrix product, and past four phases they are one convolution, faster for
    all its zero taps. The gradient of `x` is one strided convolution. In a program for a CPU the kernel's is that of
    the phases; elsewhere it is the strided convolution's filter gradient, which cuDNN has and which needs no copy of
    the phases. In a `scan` on CPU it is slow where windows overlap, as every convolution's is: unroll.

    Groups are convolutions of their own, small ones put together with zeros between them: XLA's grouped convolution
    gathers a sharded batch on every device, and its gradient is slow on CPU. Through zeros, there and
    between taps, a NaN or an infinity spreads to channels and pixels beside those that torch would give it to.

    Examples:
        >>> ops.conv_transpose(jnp.ones((1, 2, 2, 1)), jnp.ones((2, 2, 1, 1)), 2).shape
        (1, 4, 4, 1)
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
    geometry = Geometry(*(Axis(*axis) for axis in fields))
    for axis in geometry:
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
    if groups == 1:
        return _spread(x, kernel, geometry)
    together = _together(groups, x.shape[-1] // groups)
    kernels = _block_diagonals(kernel, groups, together)
    parts = zip(jnp.split(x, len(kernels), axis=-1), kernels, strict=True)
    return jnp.concatenate([_spread(x, kernel, geometry) for x, kernel in parts], axis=-1)


def _together(groups: int, channels: int) -> int:
    """How many groups, of so many channels in, are convolved as one, with zeros between them."""
    return max(m for m in range(1, groups + 1) if groups % m == 0 and (m == 1 or m * channels <= LITTLE))


def _block_diagonals(kernel: Array, groups: int, together: int) -> list[Array]:
    """The kernels of the convolutions that the groups make, `together` of them each."""
    kh, kw, c, k = kernel.shape
    blocks = kernel.reshape(kh, kw, groups // together, together, c // groups, 1, k)
    dense = blocks * jnp.eye(together, dtype=kernel.dtype)[None, None, None, :, None, :, None]
    return list(jnp.moveaxis(dense, 2, 0).reshape(groups // together, kh, kw, together * c // groups, together * k))


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
    refuse_whole_numbers("conv_transpose", x=x, kernel=kernel)


def _spread(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """The transposed convolution: one of three maps, linear in either argument, whose transposes are the other two.

    So gradients of every order are made of the forms that are fast, where differentiating a strided convolution would
    dilate its input.
    """
    of_kernel = (_products, _products) if geometry.tiles else (_kernel_gradient, _kernel_gradient_by_phase)
    plain, on_cpu = ((_input_gradient, each, _lowered) for each in of_kernel)
    out = x.shape[0], geometry.rows.out, geometry.cols.out, kernel.shape[3]
    arrays, on_tpu = (like(x), like(kernel), like(x, out)), (_input_gradient, _kernel_gradient, _dilated)
    form = Multilinear(plain, geometry, on_cpu=on_cpu, on_tpu=on_tpu, arrays=arrays)
    return derivative(form, 2, x, kernel)


@partial(jax.jit, static_argnames="geometry", inline=True)
def _lowered(x: Array, kernel: Array, geometry: Geometry) -> Array:
    rows, cols = geometry
    lower = _packed if geometry.tiles or rows.stride * cols.stride > 4 else _by_phase
    y = lower(x, kernel, geometry)  # n, row steps, row phases, column steps, column phases, channels
    y = y.reshape(x.shape[0], rows.steps * rows.stride, cols.steps * cols.stride, kernel.shape[-1])
    return y[:, : rows.out, : cols.out]


@partial(jax.jit, static_argnames="geometry", inline=True)
def _dilated(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """A convolution of the input with zeros between its pixels, which TPUs have a way to leave out."""
    y = jax.ShapeDtypeStruct((x.shape[0], geometry.rows.out, geometry.cols.out, kernel.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda y: _input_gradient(kernel, y, geometry), y)(x)[0]


def _by_phase(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """A convolution of stride 1 for each phase, interleaved."""
    rows, cols = geometry
    kernel = kernel[::-1, ::-1]

    def phase(up: Reach | None, left: Reach | None) -> Array:
        if up is None or left is None:
            return jnp.zeros((x.shape[0], rows.steps, cols.steps, kernel.shape[-1]), x.dtype)
        pads = (-up.first, rows.steps + up.last - rows.size), (-left.first, cols.steps + left.last - cols.size)
        return _convolve(x, kernel[up.taps, left.taps], pads, dilation=(up.dilation, left.dilation))

    lefts = [cols.phase(v) for v in range(cols.stride)]
    lines = [jnp.stack([phase(rows.phase(u), left) for left in lefts], axis=3) for u in range(rows.stride)]
    return jnp.stack(lines, axis=2)


def _packed(x: Array, kernel: Array, geometry: Geometry) -> Array:
    """One convolution of stride 1 to the channels of all phases, which then become space."""
    rows, cols = geometry
    c, k = kernel.shape[2:]
    (up, above, bottom), (left, before, right) = rows.blocks(), cols.blocks()
    fill = (
        (above, up * rows.stride - above - rows.extent, rows.dilation - 1),
        (before, left * cols.stride - before - cols.extent, cols.dilation - 1),
        (0, 0, 0),
        (0, 0, 0),
    )
    kernel = lax.pad(kernel, jnp.zeros((), kernel.dtype), fill)
    kernel = kernel.reshape(up, rows.stride, left, cols.stride, c, k)[::-1, :, ::-1]
    kernel = kernel.transpose(0, 2, 4, 1, 3, 5).reshape(up, left, c, rows.stride * cols.stride * k)
    pads = (up - 1 - bottom, rows.steps + bottom - rows.size), (left - 1 - right, cols.steps + right - cols.size)
    y = _convolve(x, kernel, pads)
    return y.reshape(x.shape[0], rows.steps, cols.steps, rows.stride, cols.stride, k).swapaxes(2, 3)


@partial(jax.jit, static_argnames="geometry", inline=True)
def _input_gradient(kernel: Array, g: Array, geometry: Geometry) -> Array:
    """A strided convolution."""
    rows, cols = geometry
    return _convolve(
        g,
        kernel.swapaxes(2, 3),
        (rows.outer_padding, cols.outer_padding),
        (rows.stride, cols.stride),
        (rows.dilation, cols.dilation),
    )


@partial(jax.jit, static_argnames="geometry", inline=True)
def _kernel_gradient(x: Array, g: Array, geometry: Geometry) -> Array:
    """The filter gradient of the strided convolution."""
    return jax.linear_transpose(lambda kernel: _input_gradient(kernel, g, geometry), _kernel_of(x, g, geometry))(x)[0]


@partial(jax.jit, static_argnames="geometry", inline=True)
def _kernel_gradient_by_phase(x: Array, g: Array, geometry: Geometry) -> Array:
    return jax.linear_transpose(lambda kernel: _lowered(x, kernel, geometry), _kernel_of(x, g, geometry))(g)[0]


def _kernel_of(x: Array, g: Array, geometry: Geometry) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((geometry.rows.taps, geometry.cols.taps, x.shape[-1], g.shape[-1]), x.dtype)


@partial(jax.jit, static_argnames="geometry", inline=True)
def _products(x: Array, g: Array, geometry: Geometry) -> Array:
    """The kernel's gradient where input pixels become tiles: a matrix product for each line of a tile."""
    (n, h, w, c), kh, kw, k = x.shape, geometry.rows.taps, geometry.cols.taps, g.shape[-1]
    lines = g[:, : h * kh, : w * kw].reshape(n, h, kh, w, kw * k)
    pixels = x.reshape(n * h * w, c).T
    products = [pixels @ lines[:, :, u].reshape(n * h * w, kw * k) for u in range(kh)]
    return jnp.stack(products).reshape(kh, c, kw, k).swapaxes(1, 2)


def _convolve(
    x: Array, kernel: Array, pads: tuple[Pair, Pair], strides: Pair = (1, 1), dilation: Pair = (1, 1)
) -> Array:
    """`lax.conv_general_dilated`, with crops where a padding is negative, and zeros where they leave nothing."""
    size = [
        (i + lo + hi - extent(taps, d)) // s + 1
        for i, (lo, hi), taps, s, d in zip(x.shape[1:3], pads, kernel.shape, strides, dilation, strict=False)
    ]
    (top, bottom), (left, right) = pads
    x = x[:, max(-top, 0) : max(x.shape[1] + min(bottom, 0), 0), max(-left, 0) : max(x.shape[2] + min(right, 0), 0)]
    if 0 in x.shape[1:3]:
        return jnp.zeros((x.shape[0], *size, kernel.shape[-1]), x.dtype)
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        [(max(lo, 0), max(hi, 0)) for lo, hi in pads],
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
