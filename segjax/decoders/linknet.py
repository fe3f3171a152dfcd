"""LinkNet: narrow steps from level to level, with the encoder's features added."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn

from segjax.decoders.climb import climbed_to
from segjax.layers import ConvBlock
from segjax.level import Level, check_levels
from segjax.upsampling import ConvTranspose


class LinkNetDecoder(nn.Module):
    """At every level: narrow to a quarter, upsample, widen to the level's width and add it (Chaurasia and Culurciello
    2017).

    Where a level has no features, as the image's own place, nothing is added.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.LinkNetDecoder(last_width=4))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    last_width: int = 32
    """Channels where a level has no features of its own."""
    upsample: Callable[..., nn.Module] = partial(ConvTranspose, overlap=2)
    block: Callable[..., nn.Module] = ConvBlock
    """What was upsampled has its norm and activation, too."""
    finest_stride: int = 1
    """Where the climb ends: levels of a smaller stride are left out."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The levels that were climbed to, finest first; the deepest one alone where there is none to climb to."""
        check_levels(levels)
        x, passed = levels[-1].holding(levels[-1].features), []
        said: Any = self.block((), parent=None)
        for i, to in reversed([*enumerate(climbed_to(levels, self.finest_stride), start=1)]):
            narrow = max(1, x.width // 4)
            y = self.block((narrow,), window=1, name=f"narrow{i}")(x.features, train=train)
            y = self.upsample(features=narrow, factor=x.stride // to.stride, name=f"up{i}")(y, to)
            if said.norm is not None:
                y = said.norm(use_running_average=not train, dtype=y.dtype, name=f"up_norm{i}")(y)
            y = y if said.activation is None else said.activation(y)
            y = self.block((to.width or self.last_width,), window=1, name=f"widen{i}")(y, train=train)
            x = to.holding(y if to.features is None else y + to.features)
            passed.insert(0, x)
        return tuple(passed) or (x,)
