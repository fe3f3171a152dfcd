"""Upsamplers that are guided by the encoder's features of the level that they climb to: FADE and SAPA."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.nn import sigmoid, softmax
from jax.nn.initializers import glorot_uniform, normal, zeros
from jaxtyping import Array, Float

from segjax import ops
from segjax.layers.norm import LayerNorm
from segjax.level import Level
from segjax.upsampling.base import Upsampling


class Fade(Upsampling):
    """FADE (Lu et al., ECCV 2022): CARAFE's means, with kernels from guide and `x`, gated with the guide itself.

    Kernels come from a convolution over both (`ops.semi_shift_conv`), a gate from `x`: where it is open the result is
    the guide, brought to the channels of the result by a 1x1 convolution ("align") where it has others. By a larger
    factor all new pixels of one share its window of `x` and its gate. The defaults are the paper's.

    Raises:
        ValueError: a level without features, when called.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(jnp.zeros((1, 7, 8, 6)), (7, 8), stride=1)
        >>> up = upsampling.Fade(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    window: int = 5
    encoder_window: int = 3
    compressed: int = 64

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Weighted means of windows, and the guide where the gate is open."""
        guide = _guide(to, x, self)
        one_by_one = partial(nn.Conv, kernel_size=(1, 1), kernel_init=glorot_uniform(), dtype=x.dtype)
        x = self.project(x, self.width(x))
        fine = one_by_one(self.compressed, name="compress_guide")(guide)
        coarse = one_by_one(self.compressed, use_bias=False, name="compress")(x)
        taps = self.window**2
        shape = (self.encoder_window, self.encoder_window, self.compressed, taps)
        kernel = self.param("kernel", glorot_uniform(), shape, jnp.float32).astype(x.dtype)
        bias = self.param("bias", zeros, (taps,), jnp.float32).astype(x.dtype)
        logits = ops.semi_shift_conv(coarse, fine, kernel, self.factor) + bias[None, None, None]
        mean = ops.carafe(x, softmax(_grown(logits, x, self.factor)))
        gate = ops.resize(sigmoid(one_by_one(1, name="gate")(x)), mean.shape[1:3], method="nearest")
        aligned = _grown(self.project(guide, self.width(x), name="align"), x, self.factor)
        return gate * aligned + (1 - gate) * mean


class Sapa(Upsampling):
    """SAPA-B (Lu et al., NeurIPS 2022): every pixel is a mean of those of its window of `x` that its guide resembles.

    Weights are a softmax of `ops.window_similarity` between linear maps of the guide and of `x`, both layer-normalised.
    By a larger factor every new pixel is compared with the window around the one that it grew from. The defaults are
    the paper's.

    Raises:
        ValueError: a level without features, when called.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(jnp.zeros((1, 7, 8, 6)), (7, 8), stride=1)
        >>> up = upsampling.Sapa(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    window: int = 5
    embedding: int = 32

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Means of windows, weighted by similarity."""
        guide = _guide(to, x, self)
        x = self.project(x, self.width(x))
        norm = partial(LayerNorm, epsilon=1e-5, dtype=x.dtype)
        dense = partial(nn.Dense, self.embedding, kernel_init=normal(0.02), dtype=x.dtype)
        queries = dense(name="queries")(norm(name="norm_guide")(guide))
        keys = dense(name="keys")(norm(name="norm")(x))
        alike = ops.window_similarity(_grown(queries, x, self.factor), keys, window=self.window)
        return ops.carafe(x, softmax(alike))


def _guide(to: Level, x: Float[Array, "n h w c"], upsampler: Upsampling) -> Float[Array, "n rows columns g"]:
    """The level's features in the dtype of `x`.

    Raises:
        ValueError: there are none.
    """
    if to.features is None:
        raise ValueError(
            f"{type(upsampler).__name__} is guided by the features of the level that it climbs to, but the level of "
            f"stride {to.stride} has none: end the climb before it, as finest_stride or Segmenter's places=() do."
        )
    return to.features.astype(x.dtype)


def _grown(fine: Float[Array, "n rows columns d"], x: Float[Array, "n h w c"], factor: int) -> Array:
    """With the rows and columns that rounding up added, which the crop to the level takes off again."""
    more = [(0, factor * coarse - have) for have, coarse in zip(fine.shape[1:3], x.shape[1:3], strict=True)]
    return jnp.pad(fine, ((0, 0), *more, (0, 0)))
