"""Convolution by a window of one pixel, and its gradients, as matrix products, which is what suits a CPU.

So is a linear layer, of tokens as of pixels.

XLA:CPU swaps images and channels for the kernel's gradient of a convolution, which takes several times as long as the
product itself.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import ConvGeometry
from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import Multilinear, derivative


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


def product_over_pixels(x: Float[Array, "*p c"], y: Float[Array, "*p k"]) -> Float[Array, "c k"]:
    """Each channel of one times each of the other, summed over all pixels of all images.

    As matrices: where several axes are summed over, XLA:CPU turns one of the two round in memory first.
    """
    return lax.dot_general(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), (((0,), (0,)), ((), ())))


@on_any_mesh
def linear(x: Float[Array, "*p c"], kernel: Float[Array, "c k"]) -> Float[Array, "*p k"]:
    """Each pixel's or token's channels times the kernel, whose gradient is one product of matrices on a CPU."""
    on_cpu = _back, _product, _times
    return derivative(Multilinear((_back, _kernel_back, _times), None, on_cpu), 2, x, kernel)


def _times(x: Array, kernel: Array, _: None) -> Array:
    return x @ kernel


def _product(x: Array, upstream: Array, _: None) -> Array:
    return product_over_pixels(x, upstream)


def _back(kernel: Array, upstream: Array, _: None) -> Array:
    return upstream @ kernel.T


def _kernel_back(x: Array, upstream: Array, _: None) -> Array:
    places = tuple(range(x.ndim - 1))
    return lax.dot_general(x, upstream, ((places, places), ((), ())))


def _seen(x: Array, geometry: ConvGeometry) -> Array:
    return x if geometry.strides == (1, 1) else x[:, :: geometry.strides[0], :: geometry.strides[1]]
