"""FCN's way: class scores at the deepest level, fused with those of finer levels."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
from jax.nn.initializers import zeros
from jaxtyping import Array, Float

from segjax import ops
from segjax.layers import ConvBlock
from segjax.layers.dropout import Dropout
from segjax.level import Level, check_levels
from segjax.ops.precision import at_least_float32
from segjax.upsampling import bilinear_conv_transpose


class FCNDecoder(nn.Module):
    """Class scores at the deepest level, upsampled and added to those of finer levels (Long et al. 2015).

    Two convolutions, of `window` and 1x1, read the deepest features, padded where the paper pads the image by 100 and
    crops. The fused scores start at zero, so that training begins from the deepest alone; where the encoder pools, they
    are of what the pooling left, as VGG's are. Scores are narrow and stay in float32 at least. Training takes the rng
    "dropout".

    Raises:
        ValueError: more fused levels than there are between the deepest and the finest, when called.

    Examples:
        >>> decoders.FCNDecoder(num_classes=3, skips=2, hidden=64).skips  # FCN-8s
        2
    """

    num_classes: int
    skips: int = 0
    """How many levels are fused: 0 for FCN-32s, 1 for 16s, 2 for 8s."""
    hidden: int = 4096
    window: int = 7
    dropout: float = 0.5
    upsample: Callable[..., nn.Module] = bilinear_conv_transpose
    block: Callable[..., nn.Module] = partial(ConvBlock, norm=None)
    """Called as `block(widths, window=..., name=...)(x, train=...)`."""
    climb: bool = False
    """Whether the fused scores go on from level to level down to the finest, as max-unpooling must, and do not end
    where the last level was fused."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The level of the last scores, whose features are the logits."""
        check_levels(levels)
        x, *goals = reversed(levels)
        if self.skips >= len(goals):
            raise ValueError(
                f"FCNDecoder cannot fuse the scores of {self.skips} levels between the deepest and the finest of "
                f"{len(levels)}: lower skips, or take a deeper encoder."
            )
        y = x.features
        for name, window in (("fc6", self.window), ("fc7", 1)):
            y = self.block((self.hidden,), window=window, name=name)(y, train=train)
            y = Dropout(self.dropout, deterministic=not train)(y)
        score = partial(nn.Conv, self.num_classes, (1, 1), dtype=at_least_float32(y.dtype))
        x = x.holding(score(name="score")(y))
        for i, to in enumerate(goals if self.climb else goals[: self.skips]):
            number = len(goals) - i
            upsample = self.upsample(features=self.num_classes, factor=x.stride // to.stride, name=f"up{number}")
            scores = upsample(x.features, to)
            if i < self.skips:
                scores += score(kernel_init=zeros, name=f"score_pool{number - 1}")(_pooled(goals[i + 1], to))
            x = to.holding(scores)
        return (x,)


def _pooled(finer: Level, level: Level) -> Float[Array, "n h w c"]:
    """What a pooling of the finer level left at a level, or that level's own features where none did."""
    if finer.features is None or finer.indices is None:
        assert level.features is not None
        return level.features
    how = finer.indices.geometry
    rows, columns = how.output_size
    values, _ = ops.max_pool_with_argmax(
        finer.features, how.window, strides=how.strides, padding=how.padding, dilation=how.dilation, ceil_mode=True
    )
    return values[:, :rows, :columns]  # it may have been without the last windows of `ceil_mode`
