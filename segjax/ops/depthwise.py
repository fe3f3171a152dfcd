"""Depthwise convolution and its gradients as sums of shifted products, which is what suits a CPU.

XLA:CPU has a loop over single numbers for grouped convolutions, which takes ten to fifty times as long.
"""

from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import Padding, Pair, extent


class Depthwise(NamedTuple):
    """The geometry of a convolution."""

    size: Pair
    """Rows and columns of its input."""
    taps: Pair
    pads: Padding
    strides: Pair
    dilations: Pair


def convolve(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw 1 c"], geometry: Depthwise
) -> Float[Array, "n oh ow c"]:
    """The convolution; 16 bits are summed in 32."""
    return _sum_over_taps(_padded(x, geometry.pads), kernel, geometry)


def input_gradient(
    kernel: Float[Array, "kh kw 1 c"], upstream: Float[Array, "n oh ow c"], geometry: Depthwise
) -> Float[Array, "n h w c"]:
    """The gradient of the input: a convolution of the output's, spread by the stride, with the kernel turned round."""
    axes = []
    for axis in (0, 1):
        stride, reach = geometry.strides[axis], extent(geometry.taps[axis], geometry.dilations[axis]) - 1
        before = reach - geometry.pads[axis][0]
        spread = (upstream.shape[1 + axis] - 1) * stride + 1
        axes.append((before, geometry.size[axis] + reach - before - spread, stride - 1))
    spread = lax.pad(upstream, jnp.zeros((), upstream.dtype), [(0, 0, 0), *axes, (0, 0, 0)])
    return _sum_over_taps(spread, kernel[::-1, ::-1], geometry._replace(strides=(1, 1)))


def kernel_gradient(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow c"], geometry: Depthwise
) -> Float[Array, "kh kw 1 c"]:
    """The gradient of the kernel, summed row by row of the output: whole products would have to be stored."""
    wide = jnp.promote_types(upstream.dtype, jnp.float32)
    padded = _padded(x, geometry.pads)
    _, rows, columns, c = upstream.shape
    reach = extent(geometry.taps[0], geometry.dilations[0])

    def add_row(row: Array, sums: Array) -> Array:
        seen = lax.dynamic_slice_in_dim(padded, row * geometry.strides[0], reach, axis=1)
        gradient = lax.dynamic_slice_in_dim(upstream, row, 1, axis=1).astype(wide)
        return sums + jnp.stack([(part * gradient).sum((0, 1)) for part in _parts(seen, geometry)])

    taps = geometry.taps[0] * geometry.taps[1]
    sums = lax.fori_loop(0, rows, add_row, jnp.zeros((taps, columns, c), wide))
    return sums.sum(1).reshape(*geometry.taps, 1, c).astype(x.dtype)


def _sum_over_taps(padded: Array, kernel: Array, geometry: Depthwise) -> Array:
    wide = kernel.reshape(-1, kernel.shape[-1]).astype(jnp.promote_types(kernel.dtype, jnp.float32))
    products = (part * weights for part, weights in zip(_parts(padded, geometry), wide, strict=True))
    return reduce(jnp.add, products).astype(padded.dtype)


def _parts(padded: Array, geometry: Depthwise) -> Iterator[Array]:
    """What each tap of the kernel sees, row by row."""
    (sh, sw), (dh, dw) = geometry.strides, geometry.dilations
    n, height, width, c = padded.shape
    rows, columns = (extent(taps, d) - 1 for taps, d in zip(geometry.taps, (dh, dw), strict=True))
    for top in range(0, rows + 1, dh):
        for left in range(0, columns + 1, dw):
            ends = (n, height - rows + top, width - columns + left, c)
            yield lax.slice(padded, (0, top, left, 0), ends, (1, sh, sw, 1))


def _padded(x: Array, pads: Padding) -> Array:
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)])
