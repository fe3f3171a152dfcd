"""Convolution by a window of one pixel, and its gradients, as matrix products, which is what suits a CPU.

XLA:CPU swaps images and channels for the kernel's gradient of a convolution, which takes up to ten times as long as the
product itself.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import Pair


def convolve(
    x: Float[Array, "n h w c"], kernel: Float[Array, "1 1 c k"], strides: Pair = (1, 1)
) -> Float[Array, "n oh ow k"]:
    """Each pixel's channels times the kernel, at every so many pixels."""
    return lax.dot_general(x[:, :: strides[0], :: strides[1]], kernel[0, 0], (((3,), (0,)), ((), ())))


def input_gradient(
    kernel: Float[Array, "1 1 c k"], upstream: Float[Array, "n oh ow k"], strides: Pair = (1, 1), size: Pair = (0, 0)
) -> Float[Array, "n h w c"]:
    """The gradient of the input, of `size` where the strides are not one: zero where no output looked."""
    seen = lax.dot_general(upstream, kernel[0, 0], (((3,), (1,)), ((), ())))
    if strides == (1, 1):
        return seen
    lengths = zip(size, seen.shape[1:3], strides, strict=True)
    apart = [(0, length - (out - 1) * stride - 1, stride - 1) for length, out, stride in lengths]
    return lax.pad(seen, jnp.zeros((), seen.dtype), [(0, 0, 0), *apart, (0, 0, 0)])


def kernel_gradient(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], strides: Pair = (1, 1)
) -> Float[Array, "1 1 c k"]:
    """The gradient of the kernel: one product over all pixels.

    XLA:CPU turns round in memory what is multiplied from the left, which is the one of fewer channels.
    """
    seen, pixels = x[:, :: strides[0], :: strides[1]], (((0, 1, 2), (0, 1, 2)), ((), ()))
    if upstream.shape[-1] < x.shape[-1]:
        return lax.dot_general(upstream, seen, pixels)[None, None].swapaxes(2, 3)
    return lax.dot_general(seen, upstream, pixels)[None, None]
