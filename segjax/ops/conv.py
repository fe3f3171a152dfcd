"""Convolution of stride 1 by whatever computes it fastest on a CPU."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops import winograd

_WIDE, _WIDE_GRADIENT = 64, 128
"""Channels from which on Winograd's transforms cost less than the multiplications that they save."""
_ENOUGH = 4
"""Images from which on strips gain nothing."""
_STRIPS = 4
_SHORTEST = 4
"""Rows of a strip, below which the rows that strips share weigh more than what they gain."""

Padding = str | Sequence[tuple[int, int]]
Pads = tuple[tuple[int, int], ...]


def conv(x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], padding: Padding) -> Float[Array, "n oh ow k"]:
    """The convolution of `lax.conv_general_dilated`, channels last, stride 1, not flipped; `padding` as it takes it.

    On a CPU a 3x3 convolution of 64 channels or more to as many is Winograd's (`segjax.ops.winograd`), and so are its
    gradients, the kernel's from 128 on: U-Net's inference takes 0.85 (base 32) and 0.76 (base 64) of the time that it
    takes with XLA's. Otherwise the kernel's gradient is summed over four strips of rows where there are fewer than 4
    images, because XLA:CPU sums over images innermost: 1 x 512 x 512 pixels of 32 channels take 0.53 of the time.
    Elsewhere, in 16 bits, and where a batch may lie on several devices, whose strips would have to meet, it is lax's.
    """
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (1, 1), padding) if isinstance(padding, str) else padding
    pads = tuple((low, high) for low, high in pads)
    if jax.default_backend() == "cpu" and jax.device_count() == 1:
        return _conv(x, kernel, pads)
    return _plain(x, kernel, pads)


def _plain(x: Array, kernel: Array, pads: Pads) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _fastest(x: Array, kernel: Array, pads: Pads) -> Array:
    return (winograd.convolve if _winograd_helps(x, kernel, pads, _WIDE) else _plain)(x, kernel, pads)


def _winograd_helps(x: Array, kernel: Array, pads: Pads, wide: int) -> bool:
    height, width = (size + sum(pad) - 2 for size, pad in zip(x.shape[1:3], pads, strict=True))
    narrow, broad = min(kernel.shape[2:]), max(kernel.shape[2:])
    exact = jnp.finfo(x.dtype).bits >= 32
    # The kernel is transformed, too, at each call: that has to be little beside the pixels.
    worth = narrow >= wide and len(x) * height * width >= 2 * broad
    return exact and kernel.shape[:2] == (3, 3) and worth and min(min(pad) for pad in pads) >= 0


_conv = partial(jax.custom_vjp, nondiff_argnums=(2,))(_fastest)


def _forward(x: Array, kernel: Array, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return _fastest(x, kernel, pads), (x, kernel)


def _backward(pads: Pads, kept: tuple[Array, Array], upstream: Array) -> tuple[Array, Array]:
    x, kernel = kept
    around = tuple((taps - 1 - low, taps - 1 - high) for taps, (low, high) in zip(kernel.shape[:2], pads, strict=True))
    dx = _fastest(upstream, kernel[::-1, ::-1].swapaxes(2, 3), around)
    if _winograd_helps(x, kernel, pads, _WIDE_GRADIENT):
        return dx, winograd.kernel_gradient(x, upstream, pads)
    rows = upstream.shape[1]
    if len(x) < _ENOUGH and rows % _STRIPS == 0 and rows >= _STRIPS * _SHORTEST:
        return dx, _gradient_over_strips(x, kernel, upstream, pads)
    return dx, jax.linear_transpose(lambda kernel: _plain(x, kernel, pads), kernel)(upstream)[0]


def _gradient_over_strips(x: Array, kernel: Array, upstream: Array, pads: Pads) -> Array:
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows = upstream.shape[1] // _STRIPS
    reach = rows + kernel.shape[0] - 1
    strips = jnp.concatenate([padded[:, i * rows : i * rows + reach] for i in range(_STRIPS)])
    of_strips = jnp.concatenate(jnp.split(upstream, _STRIPS, axis=1))
    return jax.linear_transpose(lambda kernel: _plain(strips, kernel, ((0, 0), (0, 0))), kernel)(of_strips)[0]


_conv.defvjp(_forward, _backward)
