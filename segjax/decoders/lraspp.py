"""Decoders of one small step: MobileNetV3's, and a single convolution."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from segjax import ops
from segjax.decoders.climb import climb
from segjax.layers import Conv, ConvBlock
from segjax.layers.dropout import Dropout
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear


class LRASPPDecoder(nn.Module):
    """Lite reduced atrous spatial pyramid pooling (Howard et al. 2019): the deepest level gated by its own mean, and a
    fine level beside it as it is.

    Raises:
        ValueError: no level of the finest stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.LRASPPDecoder(width=8, finest_stride=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 128
    finest_stride: int = 8
    """Of the fine level; the first beyond where there is none."""
    upsample: Callable[..., nn.Module] = Bilinear
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """One level."""
        check_levels(levels)
        x, fine = levels[-1], at_least(levels, self.finest_stride)[0]
        assert x.features is not None
        assert fine.features is not None
        y = self.block((self.width,), window=1, name="deep")(x.features, train=train)
        gate = Conv(self.width, 1, use_bias=False, dtype=y.dtype, name="gate")(ops.adaptive_avg_pool(x.features, 1))
        y = self.upsample(features=None, factor=x.stride // fine.stride, name="up")(y * nn.sigmoid(gate), fine)
        y = jnp.concatenate([fine.features, y], axis=-1)
        return (fine.holding(y),)


class PlainDecoder(nn.Module):
    """One convolution of the deepest level, best of an encoder whose output stride is 8: torchvision's FCN.

    Training takes the rng "dropout".

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.PlainDecoder(width=8, finest_stride=4))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int | None = None
    """None for a quarter of the level's own."""
    dropout: float = 0.1
    finest_stride: int = 8
    """Where the climb from the deepest level ends."""
    upsample: Callable[..., nn.Module] = Bilinear
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The deepest level and those that were climbed to, finest first."""
        check_levels(levels)
        x = levels[-1]
        width = max(1, x.width // 4) if self.width is None else self.width
        y = self.block((width,), name="conv")(x.features, train=train)
        y = Dropout(self.dropout, deterministic=not train)(y)
        return climb(x.holding(y), levels, self.finest_stride, self.upsample)
