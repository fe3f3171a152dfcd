"""Convolution of stride 1 whose kernel learns fast from few images on a CPU."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_ENOUGH = 8
"""Images from which on strips gain nothing."""
_STRIPS = 4
_SHORTEST = 4
"""Rows of a strip, below which the rows that strips share weigh more than what they gain."""

Padding = str | Sequence[tuple[int, int]]


def conv(x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], padding: Padding) -> Float[Array, "n oh ow k"]:
    """The convolution of `lax.conv_general_dilated`, channels last, stride 1, not flipped; `padding` as it takes it.

    XLA:CPU's gradient of the kernel sums over images innermost, and takes up to twice as long with one image as with
    several of as many pixels in all. With fewer than 8 images the sum is therefore over four strips of rows of each: at
    1 x 512 x 512 it takes 0.53 (32 channels), 0.57 (64 to 32) and at 4 x 256 x 256 0.71 of the time. Elsewhere, and
    where a batch may lie on several devices, whose strips would have to meet, it is lax's.
    """
    pads = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], (1, 1), padding) if isinstance(padding, str) else padding
    rows = x.shape[1] + sum(pads[0]) - kernel.shape[0] + 1
    helps = len(x) < _ENOUGH and rows % _STRIPS == 0 and rows >= _STRIPS * _SHORTEST
    if helps and jax.default_backend() == "cpu" and jax.device_count() == 1:
        return _conv(x, kernel, tuple(map(tuple, pads)))
    return _plain(x, kernel, pads)


def _plain(x: Array, kernel: Array, pads: Sequence[tuple[int, int]]) -> Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv(x: Array, kernel: Array, pads: tuple[tuple[int, int], ...]) -> Array:
    return _plain(x, kernel, pads)


def _forward(x: Array, kernel: Array, pads: tuple[tuple[int, int], ...]) -> tuple[Array, tuple[Array, Array]]:
    return _plain(x, kernel, pads), (x, kernel)


def _backward(pads: tuple[tuple[int, int], ...], kept: tuple[Array, Array], upstream: Array) -> tuple[Array, Array]:
    x, kernel = kept
    (dx,) = jax.linear_transpose(lambda x: _plain(x, kernel, pads), x)(upstream)
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    rows = upstream.shape[1] // _STRIPS
    reach = rows + kernel.shape[0] - 1
    strips = jnp.concatenate([padded[:, i * rows : i * rows + reach] for i in range(_STRIPS)])
    of_strips = jnp.concatenate(jnp.split(upstream, _STRIPS, axis=1))
    (dkernel,) = jax.linear_transpose(lambda kernel: _plain(strips, kernel, ((0, 0), (0, 0))), kernel)(of_strips)
    return dx, dkernel


_conv.defvjp(_forward, _backward)
