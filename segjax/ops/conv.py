"""Convolution of stride 1 by whatever computes it fastest on a CPU."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.export import is_symbolic_dim
from jaxtyping import Array, Float

from segjax.ops import winograd
from segjax.ops.geometry import Pair
from segjax.ops.multilinear import Multilinear, derivative

_WIDE, _WIDE_GRADIENT = 64, 128
"""Channels from which on Winograd's transforms cost less than the multiplications that they save."""
_ENOUGH = 4
"""Images from which on strips gain nothing."""
_STRIPS = 4
_SHORTEST = 4
"""Rows of a strip, below which the rows that strips share weigh more than what they gain."""

Pads = tuple[Pair, Pair]


def conv(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], padding: str | Sequence[Pair]
) -> Float[Array, "n oh ow k"]:
    """The convolution of `lax.conv_general_dilated`, channels last, stride 1, not flipped; `padding` as it takes it.

    In a program for a CPU a 3x3 convolution of 64 channels or more to as many is Winograd's (`segjax.ops.winograd`),
    and so are its gradients, the kernel's from 128 on. Otherwise the kernel's gradient is summed over four strips of
    rows where there are fewer than 4 images, because XLA:CPU sums over images innermost. On other platforms, in 16
    bits, and in a program for several devices, whose strips and tiles would have to meet, it is lax's.
    """
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (1, 1), padding) if isinstance(padding, str) else padding
    rows, columns = ((int(low), int(high)) for low, high in pads)
    form = Multilinear(
        (_input_gradient, _kernel_gradient, _plain),
        (rows, columns),
        on_cpu=(_fastest_input_gradient, _fastest_kernel_gradient, _fastest),
    )
    return derivative(form, 2, x, kernel)


def _plain(x: Array, kernel: Array, pads: Pads) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


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
    height, width = (size + sum(pad) - 2 for size, pad in zip(x.shape[1:3], pads, strict=True))
    narrow, broad = min(kernel[2:]), max(kernel[2:])
    exact = jnp.finfo(x.dtype).bits >= 32
    # The kernel is transformed, too, at each call: that has to be little beside the pixels.
    worth = narrow >= wide and _images(x) * height * width >= 2 * broad
    return exact and kernel[:2] == (3, 3) and worth and min(min(pad) for pad in pads) >= 0


def _images(x: Array) -> int:
    """How many there are; at least one, where a program is exported for any number."""
    return 1 if is_symbolic_dim(x.shape[0]) else x.shape[0]
