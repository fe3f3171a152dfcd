"""Depthwise convolution and its gradients as sums of shifted products, which is what suits a CPU.

XLA:CPU has a loop over single numbers for grouped convolutions, which takes ten to fifty times as long.
"""

import functools

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import ConvGeometry, Padding, extent
from segjax.ops.precision import at_least_float32, widen
from segjax.ops.seen import padded_by, seen_along, seen_by_taps

_PRODUCTS_AT_ONCE = 50
"""Of rows and taps, in the kernel's gradient: more are no faster, and take longer to compile."""


def convolve(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw 1 c"], geometry: ConvGeometry
) -> Float[Array, "n oh ow c"]:
    """The convolution; 16 bits are summed in 32."""
    kernel, geometry = _seeing_part(kernel, geometry)
    return _sum_over_taps(padded_by(x, geometry.pads), kernel, geometry)


def input_gradient(
    kernel: Float[Array, "kh kw 1 c"], upstream: Float[Array, "n oh ow c"], geometry: ConvGeometry
) -> Float[Array, "n h w c"]:
    """The gradient of the input: a convolution of the output's, spread by the stride, with the kernel turned round."""
    kernel, geometry = _seeing_part(kernel, geometry)
    axes = []
    for axis in (0, 1):
        stride, reach = geometry.strides[axis], extent(geometry.taps[axis], geometry.dilations[axis]) - 1
        before = reach - geometry.pads[axis][0]
        spread = (upstream.shape[1 + axis] - 1) * stride + 1
        axes.append((before, geometry.size[axis] + reach - before - spread, stride - 1))
    spread = lax.pad(upstream, jnp.zeros((), upstream.dtype), [(0, 0, 0), *axes, (0, 0, 0)])
    return _sum_over_taps(spread, kernel[::-1, ::-1], geometry._replace(strides=(1, 1)))


def kernel_gradient(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow c"], geometry: ConvGeometry
) -> Float[Array, "kh kw 1 c"]:
    """The gradient of the kernel, summed a few rows of the output at a time: whole products would have to be stored.

    Images and columns are added up last. As sums within the loop they are loops over single numbers to XLA, in five
    times the time; what is added number by number goes by vectors of channels.
    """
    wide = at_least_float32(upstream.dtype)
    geometry, blind = _seeing(geometry)
    padded = padded_by(x, geometry.pads)
    n, rows, columns, c = upstream.shape
    (stride, _), (dilation, _) = geometry.strides, geometry.dilations
    taps = geometry.taps[0] * geometry.taps[1]
    at_once = max(some for some in range(1, max(1, _PRODUCTS_AT_ONCE // taps) + 1) if rows % some == 0)

    def add_rows(block: Array, sums: list[Array]) -> list[Array]:
        top = block * at_once
        above = [lax.dynamic_slice_in_dim(upstream, top + i, 1, axis=1).astype(wide) for i in range(at_once)]
        seen = functools.cache(lambda row: lax.dynamic_slice_in_dim(padded, top * stride + row, 1, axis=1))
        for i, gradient in enumerate(above):
            rows_seen = (seen(i * stride + row * dilation) for row in range(geometry.taps[0]))
            parts = [part for row in rows_seen for part in seen_along(row, geometry)]
            sums = [before + widen(part) * gradient for before, part in zip(sums, parts, strict=True)]
        return sums

    zeros = [jnp.zeros((n, 1, columns, c), wide)] * taps
    sums = lax.fori_loop(0, rows // at_once, add_rows, zeros)
    gradient = jnp.stack([each.sum((0, 1, 2)) for each in sums]).reshape(*geometry.taps, 1, c).astype(x.dtype)
    return jnp.pad(gradient, (*blind, (0, 0), (0, 0)))


def _seeing_part(kernel: Array, geometry: ConvGeometry) -> tuple[Array, ConvGeometry]:
    geometry, ((top, _), (left, _)) = _seeing(geometry)
    return kernel[top : top + geometry.taps[0], left : left + geometry.taps[1]], geometry


def _seeing(geometry: ConvGeometry) -> tuple[ConvGeometry, Padding]:
    """The geometry of the taps that see any of the image, and how many before and after see padding alone.

    Of a window as dilated as a feature map is long, all but the middle one do, and what surrounds them is the most of
    what would be read.
    """
    sizes, blind, pads = [], [], []
    for size, taps, (before, after), stride, dilation in zip(*geometry[:5], strict=True):
        last = (size + before + after - extent(taps, dilation)) // stride * stride
        seeing = [tap for tap in range(taps) if tap * dilation - before < size and tap * dilation - before + last >= 0]
        first, beyond = (seeing[0], taps - 1 - seeing[-1]) if seeing else (0, taps - 1)
        sizes.append(taps - first - beyond)
        blind.append((first, beyond))
        pads.append((before - first * dilation, after - beyond * dilation))
    return geometry._replace(taps=tuple(sizes), pads=tuple(pads)), tuple(blind)


def _sum_over_taps(padded: Array, kernel: Array, geometry: ConvGeometry) -> Array:
    wide = widen(kernel.reshape(-1, 1, 1, 1, kernel.shape[-1]))
    products = (widen(part) * weights for part, weights in zip(seen_by_taps(padded, geometry), wide, strict=True))
    return functools.reduce(jnp.add, products).astype(padded.dtype)
