"""Convolution by whatever computes it fastest on a CPU."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.eigen import by_eigen
from segjax.ops import depthwise, kernel_gradient, pointwise, regrouped, winograd
from segjax.ops.geometry import ConvGeometry, Pair, extent, padding_pairs, pair, pooled_length, symbolic
from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import Multilinear, derivative, like
from segjax.ops.precision import refuse_whole_numbers
from segjax.ops.seen import padded_by

_WIDE = 64
_WIDE_GRADIENT, _WIDE_GRADIENT_BESIDE_YNNPACK = 128, 32
"""Channels from which on Winograd's transforms cost less than the multiplications that they save."""
_PIXELS = 256
"""Pixels from which on it is worth to transform the kernel, whatever its size."""
_SMALL = range(9, 17)
"""Features for which XLA's own gradient of a 3x3 kernel is as fast as a matrix product, as Eigen has these anyway."""
_ENOUGH = 8
"""Images from which on XLA's own gradient of a kernel is fast, because it sums over images innermost, in vectors."""
_SHORTEST = 4
"""Rows of a strip, below which the rows that strips share weigh more than what they gain."""
_FEATURES = 48
"""Features up to which several columns of few features are made at once; one feature is another product to XLA."""
_CHANNELS = 16
"""Channels up to which the pixels of a stride's block are made channels."""
_FEW_TAPS = 16
"""Taps up to which a product for each is fast where images are few: every one reads the whole output again."""
_MOST_TAPS = 49
"""Taps of a kernel up to which a product for each is soon compiled."""

_NHWC = ("NHWC", "HWIO", "NHWC")
Pads = tuple[Pair, Pair]


@on_any_mesh
def conv(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c_per_group k"],
    padding: str | int | Sequence[int | Pair] = "SAME",
    *,
    stride: int | Pair = 1,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Float[Array, "n oh ow k"]:
    """The convolution of `lax.conv_general_dilated`, channels last, not flipped; torch's `conv2d` in what it computes.

    `padding` is "SAME" (of the actual size, as TensorFlow has it), "VALID", one number for all four sides or one for
    rows and one for columns as torch has it, or ((top, bottom), (left, right)). `groups` convolves groups of channels
    apart: as many as channels is a depthwise convolution.

    In a program for a CPU a 3x3 convolution of 64 channels or more to as many is Winograd's (`segjax.ops.winograd`),
    and so are its gradients, the kernel's from 128 on. Other kernels' gradients are XLA's, of what has more channels
    by what has fewer, and over strips of rows where there are fewer than 8 images, because it sums over images
    innermost; of other strides than one and up to 4x4 taps they are matrix products there
    (`segjax.ops.kernel_gradient`). Few features or channels are regrouped into more (`segjax.ops.regrouped`). That is
    where XLA convolves by Eigen, as in the segjax command (`segjax.eigen`). Where it does by YNNPACK, kernels'
    gradients are Winograd's from 32 channels on and otherwise matrix products, but for 3x3 kernels of 9 to 16 features.
    A depthwise convolution of as many features as channels is a sum of shifted products on a CPU, up to 7x7
    (`segjax.ops.depthwise`), and one of a single pixel a matrix product (`segjax.ops.pointwise`). With other groups,
    on other platforms, in 16 bits where it is neither of these, and in a program for several devices, whose strips and
    tiles would have to meet, it is lax's.

    Raises:
        ValueError: an image without a batch, or another kernel; channels that `groups` does not divide, or that are not
            those of the kernel; a stride or dilation below 1; a padding that is none of these; a kernel that does not
            fit into the padded image; two dtypes, or whole numbers.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.conv(x, jnp.ones((1, 1, 1, 1)), stride=2).ravel().tolist()
        [0.0]
    """
    if x.ndim != 4 or kernel.ndim != 4:
        raise ValueError(f"conv needs (n h w c) and a kernel (kh kw c k), got shapes {x.shape} and {kernel.shape}.")
    channels, features = kernel.shape[2:]
    if x.shape[-1] != channels * groups or features % groups:
        raise ValueError(
            f"The image has shape {x.shape} and the kernel {kernel.shape} with groups={groups}: expected "
            f"{channels * groups} channels in, and features that {groups} divides."
        )
    refuse_whole_numbers("conv", x=x, kernel=kernel)
    of_x, of_kernel = jax.typeof(x).dtype, jax.typeof(kernel).dtype
    if of_x != of_kernel:
        raise ValueError(f"conv computes in one dtype, got x {of_x} and kernel {of_kernel}: cast one.")
    strides, dilations = pair(stride, "stride"), pair(dilation, "dilation")
    pads = _pads(x.shape[1:3], kernel.shape[:2], padding, strides, dilations)
    geometry = ConvGeometry(
        (x.shape[1], x.shape[2]), (kernel.shape[0], kernel.shape[1]), pads, strides, dilations, groups
    )
    _check_output(x, kernel, geometry)
    if _is_depthwise(x, kernel, groups):
        on_cpu = depthwise.input_gradient, depthwise.kernel_gradient, depthwise.convolve
    elif _is_pointwise(geometry):
        on_cpu = pointwise.input_gradient, pointwise.kernel_gradient, pointwise.convolve
    elif groups == 1 and (geometry.strides == (1, 1) or not symbolic(*geometry.size)):
        on_cpu = _fastest_input_gradient, _fastest_kernel_gradient, _fastest
    else:
        return _plain(x, kernel, geometry)
    arrays = None if symbolic(*geometry.size) else (like(x), like(kernel), like(x, _output_shape(x, kernel, geometry)))
    form = Multilinear((_input_gradient, _kernel_gradient, _plain), geometry, on_cpu, arrays=arrays)
    return derivative(form, 2, x, kernel)


def _pads(
    size: Sequence[int], taps: Sequence[int], padding: str | int | Sequence[int | Pair], strides: Pair, dilations: Pair
) -> Pads:
    if isinstance(padding, str) and padding.upper() in ("SAME", "SAME_LOWER", "VALID"):
        named = lax.padtype_to_pads(size, tuple(map(extent, taps, dilations)), strides, padding)
        rows, columns = ((int(low), int(high)) for low, high in named)
        return rows, columns
    return padding_pairs(padding, minimum=None, names='"SAME", "VALID"')  # a padding below 0 cuts the image


def _check_output(x: Array, kernel: Array, geometry: ConvGeometry) -> None:
    if symbolic(*geometry.size):
        return
    axes = zip(geometry.size, geometry.pads, geometry.taps, geometry.dilations, strict=True)
    if 0 in geometry.taps or any(size + sum(pads) < extent(taps, dilation) for size, pads, taps, dilation in axes):
        raise ValueError(
            f"conv of x {x.shape} with kernel {kernel.shape}, padding {geometry.pads} and dilation "
            f"{geometry.dilations} has no output: the kernel needs taps, and to fit into the padded image."
        )


def _output_shape(x: Array, kernel: Array, geometry: ConvGeometry) -> tuple[int, int, int, int]:
    size, taps, pads, strides, dilations, _ = geometry
    axes = zip(size, taps, strides, pads, dilations, strict=True)
    rows, columns = (pooled_length(*axis, ceil_mode=False) for axis in axes)
    return x.shape[0], rows, columns, kernel.shape[3]


def _is_depthwise(x: Array, kernel: Array, groups: int) -> bool:
    rows, columns, channels, features = kernel.shape
    known = not symbolic(*x.shape[1:3])
    return known and channels == 1 < groups == features and rows * columns <= _MOST_TAPS


def _is_pointwise(geometry: ConvGeometry) -> bool:
    known = geometry.strides == (1, 1) or not symbolic(*geometry.size)
    return known and geometry.groups == 1 and geometry.taps == (1, 1) and geometry.pads == ((0, 0), (0, 0))


def _plain(x: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    _, _, pads, strides, dilations, groups = geometry
    return lax.conv_general_dilated(
        x, kernel, strides, pads, rhs_dilation=dilations, feature_group_count=groups, dimension_numbers=_NHWC
    )


def _input_gradient(kernel: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    channels = kernel.shape[2] * geometry.groups
    x = jax.ShapeDtypeStruct((upstream.shape[0], *geometry.size, channels), upstream.dtype)
    return jax.linear_transpose(lambda x: _plain(x, kernel, geometry), x)(upstream)[0]


def _kernel_gradient(x: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    shape = (*geometry.taps, x.shape[-1] // geometry.groups, upstream.shape[-1])
    kernel = jax.ShapeDtypeStruct(shape, x.dtype)
    return jax.linear_transpose(lambda kernel: _plain(x, kernel, geometry), kernel)(upstream)[0]


def _fastest(x: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    if _winograd_helps(x, kernel.shape[2:], geometry, _WIDE):
        return winograd.convolve(x, kernel, geometry.pads)
    return _regrouped(x, kernel, geometry)


def _regrouped(x: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    known = by_eigen() and jnp.finfo(x.dtype).bits >= 32 and not symbolic(*geometry.size)
    if not known or geometry.dilations != (1, 1):
        return _plain(x, kernel, geometry)
    taps, (channels, features) = geometry.taps[1], kernel.shape[2:]
    if geometry.strides == (1, 1):
        width = geometry.size[1] + sum(geometry.pads[1]) - taps + 1
        columns = next((n for n in (4, 2) if n * features <= _FEATURES and width % n == 0), 1)
        if columns > 1 and features > 1 and taps > 2:
            return regrouped.columns_at_once(x, kernel, geometry, columns)
    elif math.prod(geometry.strides) * channels <= _CHANNELS and min(geometry.taps) > 2 * max(geometry.strides):
        return regrouped.blocks_as_channels(x, kernel, geometry)
    return _plain(x, kernel, geometry)


def _fastest_input_gradient(kernel: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    if geometry.strides != (1, 1):
        return _input_gradient(kernel, upstream, geometry)
    # A convolution, too, with the kernel turned round.
    turned = _turned(upstream, geometry)
    if _winograd_helps(upstream, kernel.shape[:1:-1], turned, _WIDE):
        return winograd.convolve_turned(upstream, kernel, turned.pads)
    return _regrouped(upstream, kernel[::-1, ::-1].swapaxes(2, 3), turned)


def _turned(upstream: Array, geometry: ConvGeometry) -> ConvGeometry:
    """Of the convolution of stride 1 that goes back from the output to the input."""
    reach = tuple(map(extent, geometry.taps, geometry.dilations))
    (top, bottom), (left, right) = geometry.pads
    around = (reach[0] - 1 - top, reach[0] - 1 - bottom), (reach[1] - 1 - left, reach[1] - 1 - right)
    return geometry._replace(size=(upstream.shape[1], upstream.shape[2]), pads=around)


def _fastest_kernel_gradient(x: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    rows, channels, features = upstream.shape[1], x.shape[-1], upstream.shape[-1]
    many = math.prod(geometry.taps) > _MOST_TAPS
    if many or symbolic(*geometry.size, rows) or jnp.finfo(x.dtype).bits < 32:
        return _kernel_gradient(x, upstream, geometry)
    eigen, apart = by_eigen(), geometry.strides != (1, 1)
    wide = _WIDE_GRADIENT if eigen else _WIDE_GRADIENT_BESIDE_YNNPACK
    if _winograd_helps(x, (channels, features), geometry, wide):
        return winograd.kernel_gradient(x, upstream, geometry.pads)
    if not eigen and not (_plain_three_by_three(geometry) and features in _SMALL):
        of_kernel = kernel_gradient.by_taps if apart else kernel_gradient.by_shifts
        return of_kernel(x, upstream, geometry)
    if apart and math.prod(geometry.taps) <= _FEW_TAPS and _images(x) < _ENOUGH:
        return kernel_gradient.by_taps(x, upstream, geometry)
    if eigen and not apart and channels > features:  # what is convolved is copied for each tap
        turned = _gradient_over_strips(upstream, x, _turned(upstream, geometry))
        return turned[::-1, ::-1].swapaxes(2, 3)
    return _gradient_over_strips(x, upstream, geometry)


def _gradient_over_strips(x: Array, upstream: Array, geometry: ConvGeometry) -> Array:
    rows = upstream.shape[1]
    enough = range(max(1, _ENOUGH // _images(x)), 0, -1)
    strips = next(n for n in enough if n == 1 or (rows % n == 0 and rows >= n * _SHORTEST))
    if strips == 1:
        return _kernel_gradient(x, upstream, geometry)
    (top, _), columns = geometry.pads
    rows, stride, height = rows // strips, geometry.strides[0], x.shape[1]
    reach = (rows - 1) * stride + extent(geometry.taps[0], geometry.dilations[0])
    starts = (i * rows * stride - top for i in range(strips))
    cut = jnp.concatenate([padded_by(x, ((-start, start + reach - height), columns)) for start in starts])
    inside = geometry._replace(size=(reach, cut.shape[2]), pads=((0, 0), (0, 0)))
    return _kernel_gradient(cut, jnp.concatenate(jnp.split(upstream, strips, axis=1)), inside)


def _winograd_helps(x: Array, channels: Sequence[int], geometry: ConvGeometry, wide: int) -> bool:
    if symbolic(*x.shape[1:3]):  # of which nobody knows whether it is worth it
        return False
    height, width = (size + sum(pad) - 2 for size, pad in zip(x.shape[1:3], geometry.pads, strict=True))
    exact = jnp.finfo(x.dtype).bits >= 32
    # The kernel is transformed, too, at each call: that has to be little beside the pixels.
    worth = min(channels) >= wide and _images(x) * height * width >= min(2 * max(channels), _PIXELS)
    return exact and _plain_three_by_three(geometry) and worth and min(map(min, geometry.pads)) >= 0


def _plain_three_by_three(geometry: ConvGeometry) -> bool:
    return geometry.taps == (3, 3) and geometry.strides == geometry.dilations == (1, 1)


def _images(x: Array) -> int:
    """How many there are; at least one, as where a program is exported for any number."""
    return 1 if symbolic(x.shape[0]) else max(1, x.shape[0])
