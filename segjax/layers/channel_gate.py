"""A weight for every channel, from the means of all."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.layers.conv import Conv


class ChannelGate(nn.Module):
    """What two 1x1 convolutions make of the means of all channels: squeeze and excitation (Hu et al. 2018).

    Examples:
        >>> module = layers.ChannelGate(2)
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 1, 1, 4)
    """

    width: int
    """Channels between the two."""
    activation: Callable[[Array], Array] = nn.relu
    gate: Callable[[Array], Array] = nn.sigmoid
    names: tuple[str, str] = ("fc1", "fc2")
    """Of the two convolutions."""
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 c"]:
        """The weights, which features are multiplied by."""
        squeeze, excite = self.names
        y = self.activation(Conv(self.width, 1, dtype=self.dtype, name=squeeze)(x.mean((1, 2), keepdims=True)))
        return self.gate(Conv(x.shape[-1], 1, dtype=self.dtype, name=excite)(y))
