"""The climb back from the deepest level to the finest, which every encoder-decoder here shares."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.layers import ConvBlock
from segjax.upsampling import Level


class Decoder(nn.Module):
    """At every level: upsample to its size, join its features where `skips` says so, and convolve.

    `stages` holds the widths of the convolutions at each level but the deepest, finest first; the upsampler gives as
    many channels as the first of them. Raises ValueError where the levels are not one more than the stages.
    """

    stages: tuple[tuple[int, ...], ...]
    upsample: Callable[..., nn.Module]
    """Called as `upsample(features=..., dtype=..., name=...)(x, level)`."""
    skips: bool = False
    block: Callable[..., nn.Module] = ConvBlock
    """Called as `block(widths, name=...)(x, train=...)`."""
    dtype: DTypeLike = jnp.float32
    every_level: bool = False
    """Whether the features of every stage are returned, finest first, and not those of the finest alone."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], levels: tuple[Level, ...], *, train: bool) -> Any:
        """Features at the finest level's size, from `x` at the deepest one's."""
        if len(levels) != len(self.stages) + 1:
            raise ValueError(
                f"A decoder of {len(self.stages)} stages climbs {len(self.stages) + 1} levels, but the encoder gave "
                f"{len(levels)}: give one stage per level but the deepest."
            )
        passed = []
        climb = list(enumerate(zip(levels[:-1], self.stages, strict=True), start=1))
        for i, (level, widths) in reversed(climb):
            x = self.upsample(features=widths[0], dtype=self.dtype, name=f"up{i}")(x, level)
            if self.skips:
                x = jnp.concatenate([level.features, x], axis=-1)
            x = self.block(widths, name=f"stage{i}")(x, train=train)
            passed.append(x)
        return tuple(reversed(passed)) if self.every_level else x
