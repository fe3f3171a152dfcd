"""Convolution by a window of one pixel, and its gradients, as matrix products, which is what suits a CPU.

XLA:CPU swaps images and channels for the kernel's gradient of a convolution, which takes several times as long as the
product itself.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import ConvGeometry


def convolve(
    x: Float[Array, "n h w c"], kernel: Float[Array, "1 1 c k"], geometry: ConvGeometry
) -> Float[Array, "n oh ow k"]:
    """Each pixel's channels times the kernel, at every so many pixels."""
    return lax.dot_general(_seen(x, geometry), kernel[0, 0], (((3,), (0,)), ((), ())))


def input_gradient(
    kernel: Float[Array, "1 1 c k"], upstream: Float[Array, "n oh ow k"], geometry: ConvGeometry
) -> Float[Array, "n h w c"]:
    """The gradient of the input: zero where no output looked."""
    seen = lax.dot_general(upstream, kernel[0, 0], (((3,), (1,)), ((), ())))
    if geometry.strides == (1, 1):
        return seen
    lengths = zip(geometry.size, seen.shape[1:3], geometry.strides, strict=True)
    apart = [(0, length - (out - 1) * stride - 1, stride - 1) for length, out, stride in lengths]
    return lax.pad(seen, jnp.zeros((), seen.dtype), [(0, 0, 0), *apart, (0, 0, 0)])


def kernel_gradient(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], geometry: ConvGeometry
) -> Float[Array, "1 1 c k"]:
    """The gradient of the kernel: one product over all pixels."""
    return product_over_pixels(_seen(x, geometry), upstream)[None, None]


def product_over_pixels(x: Float[Array, "n h w c"], y: Float[Array, "n h w k"]) -> Float[Array, "c k"]:
    """Each channel of one times each of the other, summed over all pixels of all images.

    XLA:CPU turns round in memory what is multiplied from the left, which is the one of fewer channels.
    """
    pixels = (((0, 1, 2), (0, 1, 2)), ((), ()))
    if y.shape[-1] < x.shape[-1]:
        return lax.dot_general(y, x, pixels).T
    return lax.dot_general(x, y, pixels)


def _seen(x: Array, geometry: ConvGeometry) -> Array:
    return x if geometry.strides == (1, 1) else x[:, :: geometry.strides[0], :: geometry.strides[1]]
