"""U-Net++: between encoder and decoder a grid of nodes, each of which sees all those before it at its level."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from segjax.decoders.climb import attended, check_widths, climbed_to, in_one_step, own_width
from segjax.layers import ConvBlock
from segjax.level import Level, check_levels
from segjax.upsampling import Nearest


class UNetPlusPlusDecoder(nn.Module):
    """Nested skip connections (Zhou et al. 2018): node j of a level sees its features, nodes 1 to j - 1 of the level,
    and node j - 1 of the level below, upsampled.

    The last node of a level has the decoder's width there, those before it the level's own. A level without features,
    as the image's own place, has a last node alone.

    Raises:
        ValueError: widths that are not one for each level that is climbed to, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.UNetPlusPlusDecoder())
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    widths: tuple[int, ...] | None = None
    """Channels of the last node of each level, finest first; None for the level's own, or for half the width of the
    level below, up to 256, where that is more."""
    upsample: Callable[..., nn.Module] = Nearest
    block: Callable[..., nn.Module] = ConvBlock
    attention: Callable[..., nn.Module] | None = None
    """Of features that were joined and of each node's last, such as `layers.ScSE`: called as
    `attention(dtype=..., name=...)(x)`."""
    finest_stride: int = 1
    """Where the climb ends: levels of a smaller stride are left out."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The last node of every level that was climbed to, finest first."""
        check_levels(levels)
        goals, deepest = climbed_to(levels, self.finest_stride), levels[-1].holding(levels[-1].features)
        check_widths("U-Net++", self.widths, goals)
        nodes: list[list[Level]] = [[deepest]]  # of the levels from the deepest up, as far as they are made
        for i, to in reversed([*enumerate(goals, start=1)]):
            row, below = [] if to.features is None else [to], nodes[-1]
            # Without features there is nothing for inner nodes to refine: only what the level below ends with climbs.
            for j, x in enumerate(below if to.features is not None else below[-1:], start=1):
                last = x is below[-1]
                width = self._last_width(i, to, x) if last else to.width
                up = self.upsample(features=None, factor=x.stride // to.stride, name=f"up{i}_{j}")
                block = self.block((width, width), name=f"node{i}_{j}")
                seen = [node.features for node in reversed(row) if node.features is not None]
                if (not row or self.attention is None) and in_one_step(up, block, x, to):
                    y = block(jnp.concatenate(seen, axis=-1) if seen else None, train=train, coarse=x.features)
                else:
                    y = up(x.features, to)
                    if row:
                        y = jnp.concatenate([y, *seen], axis=-1)
                        y = attended(y, self.attention, f"joined{i}_{j}")
                    y = block(y, train=train)
                y = attended(y, self.attention, f"attended{i}_{j}")
                row.append(to.holding(y))
            nodes.append(row)
        return tuple(row[-1] for row in reversed(nodes[1:])) or (deepest,)

    def _last_width(self, i: int, to: Level, below: Level) -> int:
        return self.widths[i - 1] if self.widths is not None else own_width(to, below)
