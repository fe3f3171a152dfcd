"""The gradient of a convolution's kernel as matrix products over all pixels, which is what suits a CPU.

XLA computes it as a convolution whose window is the whole image and whose channels are the images. By YNNPACK
(`segjax.eigen`) that takes up to six times as long as these products.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import ConvGeometry
from segjax.ops.pointwise import product_over_pixels


def by_shifts(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], geometry: ConvGeometry
) -> Float[Array, "kh kw c k"]:
    """All taps by one product, of stride 1: `x` shifted to each column of the kernel, `upstream` to each row."""
    (rows, columns), (steps_down, steps_across) = geometry.taps, geometry.dilations
    (top, _), (left, _) = geometry.pads
    height, width = x.shape[1], upstream.shape[2]
    across = [_cut(x, 2, column * steps_across - left, width) for column in range(columns)]
    down = [_cut(upstream, 1, top - row * steps_down, height) for row in range(rows)]
    kernel = product_over_pixels(jnp.concatenate(across, axis=-1), jnp.concatenate(down, axis=-1))
    return kernel.reshape(columns, x.shape[-1], rows, upstream.shape[-1]).transpose(2, 0, 1, 3)


def by_taps(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], geometry: ConvGeometry
) -> Float[Array, "kh kw c k"]:
    """A product for each tap, of the pixels that it sees, for any stride."""
    _, oh, ow, _ = upstream.shape
    (top, _), (left, _) = geometry.pads

    def seen(row: int, column: int) -> Array:
        down, across = row * geometry.dilations[0] - top, column * geometry.dilations[1] - left
        return _cut(_cut(x, 1, down, oh, geometry.strides[0]), 2, across, ow, geometry.strides[1])

    rows, columns = map(range, geometry.taps)
    return jnp.stack(
        [jnp.stack([product_over_pixels(seen(row, column), upstream) for column in columns]) for row in rows]
    )


def _cut(x: Array, axis: int, start: int, length: int, stride: int = 1) -> Array:
    """So many rows or columns from `start` on, every so many; zeros where there are none."""
    end = start + (length - 1) * stride + 1
    around: list[tuple[int, int, int]] = [(0, 0, 0)] * x.ndim
    around[axis] = (max(-start, 0), max(end - x.shape[axis], 0), 0)
    padded = lax.pad(x, jnp.zeros((), x.dtype), around)
    return lax.slice_in_dim(padded, max(start, 0), max(start, 0) + end - start, stride, axis)
