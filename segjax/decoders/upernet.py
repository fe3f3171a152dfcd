"""UPerNet: pyramid pooling at the deepest level, and a feature pyramid from there up."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from segjax.decoders.pspnet import PyramidPooling
from segjax.layers import ConvBlock
from segjax.layers.norm import LayerNorm
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear


class UPerNetDecoder(nn.Module):
    """Unified perceptual parsing (Xiao et al. 2018): all levels of a pyramid are fused at the finest.

    Every level is normalised over its channels first, as those of transformers want it.

    Raises:
        ValueError: no level of the finest stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.UPerNetDecoder(width=8, finest_stride=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 256
    finest_stride: int = 4
    """Where the climb ends: levels of a smaller stride are left out."""
    upsample: Callable[..., nn.Module] = Bilinear
    """From level to level, and in one jump from each to the finest."""
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """What was fused at the finest stride, then the coarser levels of the pyramid."""
        check_levels(levels)
        levels = at_least(levels, self.finest_stride)
        normed = []
        for i, level in enumerate(levels, start=1):
            assert level.features is not None
            normed.append(LayerNorm(epsilon=1e-6, dtype=level.features.dtype, name=f"norm{i}")(level.features))
        pool = PyramidPooling(self.width, normalise_whole=True, block=self.block, name="pyramid")
        y = jnp.concatenate([normed[-1], *pool(normed[-1], train=train)], axis=-1)
        pooled = self.block((self.width,), name="pooled")(y, train=train)
        x = levels[-1].holding(pooled)
        pyramid = [(len(levels), x)]
        for i, to in reversed([*enumerate(levels[:-1], start=1)]):
            lateral = self.block((self.width,), window=1, name=f"lateral{i}")(normed[i - 1], train=train)
            up = self.upsample(features=self.width, factor=x.stride // to.stride, name=f"up{i}")
            x = to.holding(lateral + up(x.features, to))
            pyramid.insert(0, (i, x))
        brought = []
        for i, level in pyramid:
            y = level.features
            if i < len(levels):
                y = self.block((self.width,), name=f"conv{i}")(y, train=train)
            factor = level.stride // levels[0].stride
            if factor > 1:
                y = self.upsample(features=self.width, factor=factor, name=f"jump{i}")(y, levels[0])
            brought.append(y)
        y = self.block((self.width,), name="fuse")(jnp.concatenate(brought, axis=-1), train=train)
        fused = levels[0].holding(y)
        return (fused, *(level for _, level in pyramid[1:]))
