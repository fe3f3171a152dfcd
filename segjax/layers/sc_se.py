"""Attention to channels and to places, side by side."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.layers.channel_gate import ChannelGate
from segjax.layers.conv import Conv


class ScSE(nn.Module):
    """Features weighed by channel and, apart from that, by place, and both added (Roy et al. 2018).

    Examples:
        >>> module = layers.ScSE(reduction=2)
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 4)
    """

    reduction: int = 16
    """By which channels are divided between the two convolutions of the channels' weights; one is left at least."""
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Features of the same shape."""
        inner = max(1, x.shape[-1] // self.reduction)
        gate = partial(ChannelGate, inner, names=("squeeze", "excite"), dtype=self.dtype)
        return x * gate(name="channels")(x) + x * nn.sigmoid(Conv(1, 1, dtype=self.dtype, name="places")(x))
