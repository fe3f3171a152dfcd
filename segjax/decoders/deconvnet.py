"""DeconvNet's bottleneck: fully connected layers, written as convolutions, before `UNetDecoder` climbs."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.layers import ConvBlock


class FullyConnected(nn.Module):
    """The deepest features read by two fully connected layers and brought back to their size (Noh et al. 2015).

    The first is a convolution of `window` without padding, which leaves one vector of a map of that size, and a
    transposed convolution of the same window brings the size back. A smaller map is padded to the window and cropped
    again. All have stride 1, and so the transposed one is a convolution with a flipped kernel, as it is written here.

    Examples:
        >>> decoders.FullyConnected(hidden=64, window=1).hidden
        64
    """

    hidden: int = 4096
    window: int = 7
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w c"]:
        """Features of the same shape."""
        rows, columns, width = x.shape[1:]
        missing = [(0, max(0, self.window - size)) for size in (rows, columns)]
        x = jnp.pad(x, ((0, 0), *missing, (0, 0)))
        x = self.block((self.hidden,), window=self.window, padding="VALID", name="fc6")(x, train=train)
        x = self.block((self.hidden,), window=1, name="fc7")(x, train=train)
        x = self.block((width,), window=self.window, padding=self.window - 1, name="fc6_deconv")(x, train=train)
        return x[:, :rows, :columns]
