"""U-Net's climb from the deepest level to the finest, which encoder-decoders without skip connections share."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from segjax.decoders.climb import attended, climbed_to, in_one_step, own_width
from segjax.layers import ConvBlock
from segjax.level import Level, check_levels
from segjax.upsampling import ConvTranspose


class UNetDecoder(nn.Module):
    """At every level: upsample to it, join its features, and convolve (Ronneberger et al. 2015).

    Raises:
        ValueError: stages that are not one for each level that is climbed to, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.UNetDecoder(upsample=upsampling.DySample))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    stages: tuple[tuple[int, ...], ...] | None = None
    """Widths of the convolutions at each level that is climbed to, finest first; the upsampler gives as many channels
    as the first of them. None for two convolutions of the level's own width, or of half the width that comes, up to
    256, where that is more."""
    upsample: Callable[..., nn.Module] = ConvTranspose
    """Called as `upsample(features=..., factor=..., name=...)(x, to)`."""
    block: Callable[..., nn.Module] = ConvBlock
    """Called as `block(widths, name=...)(x, train=...)`; carries norm, activation, dtype and remat."""
    skips: bool = True
    """Whether the features of a level are joined; without them only what passes the deepest level climbs, as in
    SegNet, DeconvNet and plain fully convolutional networks."""
    finest_stride: int = 1
    """Where the climb ends: levels of a smaller stride are left out."""
    up_first: bool = False
    """Whether what was upsampled comes before the level's own features where they are joined."""
    narrowing: bool = True
    """Whether the upsampler changes the channels, as U-Net's transposed convolution does, or the convolution after."""
    bottleneck: nn.Module | None = None
    """What is made of the deepest features before the climb, called as `bottleneck(x, train=...)`."""
    attention: Callable[..., nn.Module] | None = None
    """Of features that were joined and of each level's last, such as `layers.ScSE`: called as
    `attention(dtype=..., name=...)(x)`."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The levels that were climbed to, finest first; the deepest one alone where there is none to climb to."""
        check_levels(levels)
        goals = climbed_to(levels, self.finest_stride)
        if self.stages is not None and len(self.stages) != len(goals):
            raise ValueError(
                f"A decoder of {len(self.stages)} stages climbs {len(self.stages) + 1} levels, but the encoder gave "
                f"{len(goals) + 1}, those down to stride {self.finest_stride}: give one stage "
                "per level but the deepest."
            )
        deepest = levels[-1].features
        x = levels[-1].holding(deepest if self.bottleneck is None else self.bottleneck(deepest, train=train))
        passed: list[Level] = []
        for i, to in reversed([*enumerate(goals, start=1)]):
            widths = (own_width(to, x),) * 2 if self.stages is None else self.stages[i - 1]
            factor = x.stride // to.stride
            up = self.upsample(features=widths[0] if self.narrowing else None, factor=factor, name=f"up{i}")
            block = self.block(widths, name=f"stage{i}")
            beside = to.features if self.skips else None
            as_they_are = beside is None or (self.up_first and self.attention is None)
            if as_they_are and in_one_step(up, block, x, to):
                y = block(beside, train=train, coarse=x.features)
            else:
                y = up(x.features, to)
                if beside is not None:
                    y = jnp.concatenate([y, beside] if self.up_first else [beside, y], axis=-1)
                    y = attended(y, self.attention, f"joined{i}")
                y = block(y, train=train)
            y = attended(y, self.attention, f"attended{i}")
            x = to.holding(y)
            passed.insert(0, x)
        return tuple(passed) or (x,)
