"""What vision transformers are made of: attention, the perceptron after it, and their normalisation."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn.initializers import truncated_normal
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.layers.dense import Dense
from segjax.layers.drawn import drawn
from segjax.layers.norm import LayerNorm
from segjax.ops.precision import at_least_float32

layer_norm: partial[LayerNorm] = partial(LayerNorm, epsilon=1e-6, use_fast_variance=False)
"""Layer normalisation over channels (Ba et al. 2016); its statistics are float32 whatever is computed in."""
dense: partial[nn.Dense] = partial(Dense, kernel_init=drawn(truncated_normal(0.02)))
"""A linear layer that starts as those of transformers do."""


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """GELU by the error function (Hendrycks and Gimpel 2016), as the published weights were trained with.

    It is `jax.nn.gelu(x, approximate=False)` with a derivative of its own, as jax 0.12 has none of the error function
    inside `shard_map`.
    """
    return 0.5 * x * _twice_below(x)


@jax.custom_jvp
def _twice_below(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Twice the share of a normal distribution that is below x."""
    return lax.erfc(-x * np.sqrt(0.5).astype(x.dtype))


_twice_below.defjvps(lambda dx, _, x: dx * (np.sqrt(2 / np.pi).astype(x.dtype) * jnp.exp(-0.5 * x * x)))


def of_a_head(channels: int, heads: int) -> int:
    """How many of the channels each head has.

    Raises:
        ValueError: the heads do not divide them.
    """
    if channels % heads:
        raise ValueError(f"{heads} heads share {channels} channels: give a width that is a multiple of {heads}.")
    return channels // heads


def attend(
    q: Float[Array, "n t c"], k: Float[Array, "n s c"], v: Float[Array, "n s c"], heads: int
) -> Float[Array, "n t c"]:
    """What each query reads from the values, head by head (Vaswani et al. 2017); the softmax is float32 at least."""
    q, k, v = (x.reshape(*x.shape[:2], heads, of_a_head(x.shape[2], heads)) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    # jax.nn.dot_product_attention is this in float32, even where the tokens are float64.
    wide = at_least_float32(q.dtype)
    weights = jax.nn.softmax(jnp.einsum("nthc,nshc->nhts", q * scale, k, preferred_element_type=wide))
    return jnp.einsum("nhts,nshc->nthc", weights.astype(v.dtype), v).reshape(*q.shape[:2], heads * v.shape[3])


class Attention(nn.Module):
    """Self-attention with one projection to queries, keys and values, in this order."""

    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
        """Tokens that have read from each other."""
        width = x.shape[-1]
        q, k, v = jnp.split(dense(3 * width, dtype=self.dtype, name="qkv")(x), 3, axis=-1)
        return dense(width, dtype=self.dtype, name="proj")(attend(q, k, v, self.heads))


class Mlp(nn.Module):
    """Two linear layers with a GELU between them, each place by itself."""

    hidden: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """As many channels as came."""
        hidden = gelu(dense(self.hidden, dtype=self.dtype, name="fc1")(x))
        return dense(x.shape[-1], dtype=self.dtype, name="fc2")(hidden)


class LayerScale(nn.Module):
    """A factor per channel for a branch, which starts small (Touvron et al. 2021)."""

    start: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """The branch, scaled."""
        gamma = self.param("gamma", nn.initializers.constant(self.start), (x.shape[-1],), jnp.float32)
        return x * jax.lax.broadcast_to_rank(gamma.astype(self.dtype), x.ndim)
