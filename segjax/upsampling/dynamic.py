"""Upsamplers whose kernel or sampling point is predicted at every pixel: CARAFE and DySample."""

from functools import partial
from math import gcd

import flax.linen as nn
from jax.nn import softmax
from jax.nn.initializers import normal
from jaxtyping import Array, Float

from segjax import ops
from segjax.level import Level
from segjax.upsampling.base import Upsampling


class Carafe(Upsampling):
    """CARAFE (Wang et al. 2019): every pixel of the result is a weighted mean of a window of `x`.

    The weights come from `x` itself: a 1x1 convolution to `compressed` channels, one of `encoder_window` to
    `window**2` logits for each of the `factor**2` new pixels, and a softmax. The defaults are the paper's.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.Carafe(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    window: int = 5
    encoder_window: int = 3
    compressed: int = 64

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Weighted means of windows."""
        conv = partial(nn.Conv, dtype=x.dtype)
        x = self.project(x, self.width(x))
        y = conv(self.compressed, (1, 1), name="compress")(x)
        size = (self.encoder_window, self.encoder_window)
        y = conv((self.factor * self.window) ** 2, size, kernel_init=normal(1e-3), name="encode")(y)
        return ops.carafe(x, softmax(ops.pixel_shuffle(y, self.factor)))


class DySample(Upsampling):
    """DySample (Liu et al. 2023), its "LP" form: every pixel of the result is a bilinear sample of `x`.

    A 1x1 convolution predicts how far from its own place each new pixel looks, per group of channels, times `reach`
    (the paper's static scope factor), so that neighbours hardly overlap. It starts as bilinear interpolation.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.DySample(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    groups: int = 4
    """Of channels that look at one point; fewer, the greatest common divisor, where they do not divide the channels."""
    reach: float = 0.25

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Samples between pixels."""
        x = self.project(x, self.width(x))
        groups = gcd(self.groups, x.shape[-1])
        channels = 2 * groups * self.factor**2
        offset = nn.Conv(channels, (1, 1), kernel_init=normal(1e-3), dtype=x.dtype, name="offset")(x)
        return ops.dysample(x, self.reach * offset, factor=self.factor, groups=groups)
