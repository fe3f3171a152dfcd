"""Nearest-neighbour upsampling and then a convolution, in one step at the low resolution."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.ops.conv_transpose import conv_transpose


def resize_conv(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], factor: int = 2
) -> Float[Array, "n h*{factor} w*{factor} k"]:
    """Nearest-neighbour upsampling by `factor`, then a convolution of stride 1 that keeps the size (Odena et al. 2016).

    The kernel is (rows, columns, channels in, channels out) as Flax has it; zeros lie around the upsampled image, for
    an even kernel one more after than before. The two steps done plainly give the same to 1e-5, gradients included:
    the products are summed in another order.

    Raises:
        ValueError: shapes that do not fit, a factor below 2, or two dtypes.

    Upsampling repeats each pixel, so the two steps are one transposed convolution of stride `factor`, whose kernel is
    the sum of `kernel` at factor x factor shifts. A 3x3 kernel after x2 becomes four 2x2 convolutions of `x`: 4/9 of
    the multiplications, and the upsampled image is never there.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.resize_conv(x, jnp.ones((1, 1, 1, 1)))[0, 0, :, 0].tolist()
        [0.0, 0.0, 1.0, 1.0]
    """
    if x.ndim != 4 or kernel.ndim != 4 or x.shape[-1] != kernel.shape[2]:
        raise ValueError(
            f"resize_conv takes x (n, h, w, c) and kernel (rows, columns, c, k), got {x.shape} and {kernel.shape}."
        )
    if factor < 2:
        raise ValueError(f"resize_conv's factor must be 2 or more, got {factor}.")
    rows, columns = kernel.shape[:2]
    return conv_transpose(
        x,
        _shifted(_shifted(kernel[::-1, ::-1], factor, axis=0), factor, axis=1),
        strides=factor,
        padding=(rows // 2, columns // 2),
        output_padding=(1 - rows % 2, 1 - columns % 2),
    )


def _shifted(kernel: Array, factor: int, axis: int) -> Array:
    """The sum of the kernel at `factor` shifts along an axis."""
    pads = [[(f, factor - 1 - f) if a == axis else (0, 0) for a in range(4)] for f in range(factor)]
    return jnp.stack([jnp.pad(kernel, pad) for pad in pads]).sum(axis=0)
