"""Feature pyramid: the levels brought to one width, summed from the deepest up, and merged at the finest."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.layers import ConvBlock
from segjax.layers.dropout import Dropout
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear, Nearest


class FPNDecoder(nn.Module):
    """A feature pyramid (Lin et al. 2017) with the semantic branch of Panoptic FPN (Kirillov et al. 2019).

    Every level is projected to `width` and summed with what comes from the level below it. Then each climbs to
    `finest_stride` by convolutions with an upsampling after each, and all are joined there. Training takes the rng
    "dropout".

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.FPNDecoder(width=8, merged_width=4, finest_stride=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 256
    merged_width: int = 128
    dropout: float = 0.2
    """Of whole channels of what was joined."""
    finest_stride: int = 4
    """Where the climb ends: levels of a smaller stride are left out."""
    upsample: Callable[..., nn.Module] = Nearest
    """From a level of the pyramid to the next."""
    merge: Callable[..., nn.Module] = Bilinear
    """The upsampler of the semantic branch."""
    concatenate: bool = False
    """Whether the levels of the semantic branch stand side by side, deepest first, and are not summed."""
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """What was joined at the finest stride, then the coarser levels of the pyramid."""
        check_levels(levels)
        levels = at_least(levels, self.finest_stride)
        branches, pyramid, x = [], [], levels[-1]
        for i, to in reversed([*enumerate(levels, start=1)]):
            lateral = self.block((self.width,), window=1, norm=None, activation=None, name=f"lateral{i}")
            y = lateral(to.features, train=train)
            if branches:
                up = self.upsample(features=self.width, factor=x.stride // to.stride, name=f"up{i}")
                y += up(x.features, to)
            x = to.holding(y)
            pyramid.insert(0, x)
            branches.append(self.to_finest(x, levels[: i - 1], i, train))
        joined = jnp.concatenate(branches, axis=-1) if self.concatenate else sum(branches)
        merged = Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(joined)
        return (x.holding(merged), *pyramid[1:])

    def to_finest(self, x: Level, finer: tuple[Level, ...], i: int, train: bool) -> Float[Array, "n h w c"]:
        """A level of the pyramid as features of the finest: one convolution at least, and one a climb."""
        y = self.block((self.merged_width,), name=f"merge{i}_1")(x.features, train=train)
        for step, to in enumerate(reversed(finer), start=1):
            if step > 1:
                y = self.block((self.merged_width,), name=f"merge{i}_{step}")(y, train=train)
            factor = x.stride // to.stride
            y = self.merge(features=self.merged_width, factor=factor, name=f"merge_up{i}_{step}")(y, to)
            x = to
        return y
