"""Nearest-neighbour upsampling and then a convolution, in one step at the low resolution."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.ops.conv_transpose import conv_transpose


def resize_conv(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], factor: int = 2
) -> Float[Array, "n h*factor w*factor k"]:
    """Nearest-neighbour upsampling by `factor` and then a SAME convolution of stride 1 (Odena et al. 2016)."""
    spread = kernel[::-1, ::-1]
    for axis in (0, 1):
        pads = [[(0, 0)] * axis + [(f, factor - 1 - f)] + [(0, 0)] * (3 - axis) for f in range(factor)]
        spread = sum(jnp.pad(spread, pad) for pad in pads)
    padding = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    output_padding = (1 - kernel.shape[0] % 2, 1 - kernel.shape[1] % 2)
    return conv_transpose(x, spread, factor, padding, output_padding)
