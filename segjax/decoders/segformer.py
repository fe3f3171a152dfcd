"""SegFormer's head: a linear map of every level, side by side at the finest."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from segjax import ops
from segjax.layers import ConvBlock
from segjax.layers.dense import Dense
from segjax.layers.dropout import Dropout
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear


class SegFormerDecoder(nn.Module):
    """Every level brought to one width and to the finest stride, then fused by a 1x1 convolution (Xie et al. 2021).

    Raises:
        ValueError: no level of the finest stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.SegFormerDecoder(width=8, finest_stride=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 256
    dropout: float = 0.0
    """Of whole channels of what is fused; 0.1 in the paper. Training then takes the rng "dropout"."""
    finest_stride: int = 4
    """Where all levels are brought."""
    finer: bool = False
    """Whether levels of a smaller stride are read as well, interpolated down; else they are left out."""
    upsample: Callable[..., nn.Module] = Bilinear
    """In one jump from a level's stride."""
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """One level."""
        check_levels(levels)
        finest, brought = at_least(levels, self.finest_stride)[0], []
        levels = at_least(levels, 1) if self.finer else at_least(levels, self.finest_stride)
        for i, level in reversed([*enumerate(levels, start=1)]):
            assert level.features is not None
            y = Dense(self.width, dtype=level.features.dtype, name=f"linear{i}")(level.features)
            if level.stride > finest.stride:
                factor = level.stride // finest.stride
                y = self.upsample(features=self.width, factor=factor, name=f"up{i}")(y, finest)
            elif level.stride < finest.stride:
                y = ops.resize(y, finest.size, method="bilinear")
            brought.append(y)
        y = self.block((self.width,), window=1, name="fuse")(jnp.concatenate(brought, axis=-1), train=train)
        y = Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(y)
        return (finest.holding(y),)
