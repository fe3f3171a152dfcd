"""Convolution by whatever computes it fastest on a CPU."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops import depthwise, pointwise, winograd
from segjax.ops.geometry import ConvGeometry, Pair, extent, pair, symbolic
from segjax.ops.multilinear import Multilinear, derivative

_WIDE, _WIDE_GRADIENT = 64, 128
"""Channels from which on Winograd's transforms cost less than the multiplications that they save."""
_ENOUGH = 4
"""Images from which on strips gain nothing."""
_STRIPS = 4
_SHORTEST = 4
"""Rows of a strip, below which the rows that strips share weigh more than what they gain."""
_MOST_TAPS = 49
"""Taps of a depthwise kernel up to which its shifted products are soon compiled."""

_NHWC = ("NHWC", "HWIO", "NHWC")
Pads = tuple[Pair, Pair]


def conv(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c_per_group k"],
    padding: str | int | Sequence[Pair] = "SAME",
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Float[Array, "n oh ow k"]:
    """The convolution of `lax.conv_general_dilated`, channels last, not flipped; torch's `conv2d` in what it computes.

    `padding` is "SAME" (of the actual size, as TensorFlow has it), "VALID", one number for all four sides as torch has
    it, or ((top, bottom), (left, right)). `groups` convolves groups of channels apart: as many as channels is a
    depthwise convolution.

    In a program for a CPU a 3x3 convolution of 64 channels or more to as many is Winograd's (`segjax.ops.winograd`),
    and so are its gradients, the kernel's from 128 on. Otherwise the kernel's gradient is summed over four strips of
    rows where there are fewer than 4 images, because XLA:CPU sums over images innermost. A depthwise convolution of as
    many features as channels is a sum of shifted products there, up to 7x7 (`segjax.ops.depthwise`), and one of a
    single pixel a matrix product (`segjax.ops.pointwise`). With another stride, dilation or groups, on other platforms,
    in 16 bits where it is neither of these, and in a program for several devices, whose strips and tiles would have to
    meet, it is lax's.

    Raises:
        ValueError: channels that `groups` does not divide, or that are not those of the kernel; a stride or dilation
            below 1.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.conv(x, jnp.ones((1, 1, 1, 1)), stride=2).ravel().tolist()
        [0.0]
    """
    channels, features = kernel.shape[2:]
    if x.shape[-1] != channels * groups or features % groups:
        raise ValueError(
            f"The image has shape {x.shape} and the kernel {kernel.shape} with groups={groups}: expected "
            f"{channels * groups} channels in, and features that {groups} divides."
        )
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    pads = _pads(x.shape[1:3], kernel.shape[:2], padding, strides, dilations)
    geometry = ConvGeometry(
        (x.shape[1], x.shape[2]), (kernel.shape[0], kernel.shape[1]), pads, strides, dilations, groups
    )
    on_cpu = None
    if _is_depthwise(x, kernel, groups):
        on_cpu = depthwise.input_gradient, depthwise.kernel_gradient, depthwise.convolve
    elif _is_pointwise(geometry):
        on_cpu = pointwise.input_gradient, pointwise.kernel_gradient, pointwise.convolve
    if on_cpu is not None:
        form = Multilinear((_stepped_input_gradient, _stepped_kernel_gradient, _stepped), geometry, on_cpu)
        return derivative(form, 2, x, kernel)
    if (strides, dilations, groups) != ((1, 1), (1, 1), 1):
        return lax.conv_general_dilated(
            x, kernel, strides, pads, rhs_dilation=dilations, feature_group_count=groups, dimension_numbers=_NHWC
        )
    form = Multilinear(
        (_input_gradient, _kernel_gradient, _plain),
        pads,
        on_cpu=(_fastest_input_gradient, _fastest_kernel_gradient, _fastest),
    )
    return derivative(form, 2, x, kernel)


def _pads(
    size: Sequence[int], taps: Sequence[int], padding: str | int | Sequence[Pair], strides: Pair, dilations: Pair
) -> Pads:
    if isinstance(padding, int):
        return ((padding, padding), (padding, padding))
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(size, tuple(map(extent, taps, dilations)), strides, padding)
    rows, columns = ((int(low), int(high)) for low, high in padding)
    return rows, columns


def _is_depthwise(x: Array, kernel: Array, groups: int) -> bool:
    rows, columns, channels, features = kernel.shape
    known = not symbolic(*x.shape[1:3])
    return known and channels == 1 < groups == features and rows * columns <= _MOST_TAPS


def _is_pointwise(geometry: ConvGeometry) -> bool:
    known = geometry.strides == (1, 1) or not symbolic(*geometry.size)
    return known and geometry.groups == 1 and geometry.taps == (1, 1) and geometry.pads == ((0, 0), (0, 0))


def _stepped(x: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    _, _, pads, strides, dilations, groups = geometry
    return lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=dilations, feature_group_count=groups, dimension_numbers=_NHWC
    )


def _stepped_input_gradient(kernel: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    channels = kernel.shape[2] * geometry.groups
    x = jax.ShapeDtypeStruct((upstream.shape[0], *geometry.size, channels), upstream.dtype)
    return jax.linear_transpose(lambda x: _stepped(x, kernel, geometry), x)(upstream)[0]


def _stepped_kernel_gradient(x: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    shape = (*geometry.taps, x.shape[-1] // geometry.groups, upstream.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, x.dtype)
    return jax.linear_transpose(lambda kernel: _stepped(x, kernel, geometry), kernel)(upstream)[0]


def _plain(x: Array, kernel: Array, pads: Pads) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=_NHWC)


def _input_gradient(kernel: Array, upstream: Array, pads: Pads) -> Array:
    n, *size, _ = upstream.shape
    h, w = (out + taps - 1 - sum(pad) for out, taps, pad in zip(size, kernel.shape[:2], pads, strict=True))
    x = jax.ShapeDtypeStruct((n, h, w, kernel.shape[2]), upstream.dtype)
    return jax.linear_transpose(lambda x: _plain(x, kernel, pads), x)(upstream)[0]


def _kernel_gradient(x: Array, upstream: Array, pads: Pads) -> Array:
    sizes = zip(x.shape[1:3], pads, upstream.shape[1:3], strict=True)
    taps = (size + sum(pad) - out + 1 for size, pad, out in sizes)
    kernel = jax.ShapeDtypeStruct((*taps, x.shape[-1], upstream.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda kernel: _plain(x, kernel, pads), kernel)(upstream)[0]


def _fastest(x: Array, kernel: Array, pads: Pads) -> Array:
    return (winograd.convolve if _winograd_helps(x, kernel.shape, pads, _WIDE) else _plain)(x, kernel, pads)


def _fastest_input_gradient(kernel: Array, upstream: Array, pads: Pads) -> Array:
    (top, bottom), (left, right) = pads
    kh, kw = kernel.shape[:2]
    around = (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)
    return _fastest(upstream, kernel[::-1, ::-1].swapaxes(2, 3), around)


def _fastest_kernel_gradient(x: Array, upstream: Array, pads: Pads) -> Array:
    shape = jax.eval_shape(partial(_kernel_gradient, pads=pads), x, upstream).shape
    if _winograd_helps(x, shape, pads, _WIDE_GRADIENT):
        return winograd.kernel_gradient(x, upstream, pads)
    rows = upstream.shape[1]
    if _images(x) < _ENOUGH and rows % _STRIPS == 0 and rows >= _STRIPS * _SHORTEST:
        return _gradient_over_strips(x, upstream, pads)
    return _kernel_gradient(x, upstream, pads)


def _gradient_over_strips(x: Array, upstream: Array, pads: Pads) -> Array:
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows = upstream.shape[1] // _STRIPS
    reach = padded.shape[1] - upstream.shape[1] + rows
    strips = jnp.concatenate([padded[:, i * rows : i * rows + reach] for i in range(_STRIPS)])
    return _kernel_gradient(strips, jnp.concatenate(jnp.split(upstream, _STRIPS, axis=1)), ((0, 0), (0, 0)))


def _winograd_helps(x: Array, kernel: tuple[int, ...], pads: Pads, wide: int) -> bool:
    if symbolic(*x.shape[1:3]):  # of which nobody knows whether it is worth it
        return False
    height, width = (size + sum(pad) - 2 for size, pad in zip(x.shape[1:3], pads, strict=True))
    narrow, broad = min(kernel[2:]), max(kernel[2:])
    exact = jnp.finfo(x.dtype).bits >= 32
    # The kernel is transformed, too, at each call: that has to be little beside the pixels.
    worth = narrow >= wide and _images(x) * height * width >= 2 * broad
    return exact and kernel[:2] == (3, 3) and worth and min(min(pad) for pad in pads) >= 0


def _images(x: Array) -> int:
    """How many there are; at least one, where a program is exported for any number."""
    return 1 if symbolic(x.shape[0]) else x.shape[0]
