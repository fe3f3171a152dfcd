"""DPT: the levels of a plain vision transformer as a pyramid, fused from its top down."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax import ops
from segjax.errors import counts
from segjax.layers import Conv, ConvBlock
from segjax.layers.dropout import Dropout
from segjax.layers.transformer import gelu
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear, ConvTranspose


class DPTDecoder(nn.Module):
    """Dense prediction transformer (Ranftl et al. 2021), best of a plain ViT's four levels of one stride.

    Each level reads the class token where it has tokens, and is brought to a stride of its own: 4, 8, 16 and 32 for
    four. From the last to the first they are then fused by residual convolutions, to half of the first's stride. Where
    a level's stride and its own do not divide, as DINOv2's 14, it is interpolated. Training takes the rng "dropout".

    Raises:
        ValueError: no level of twice the finest stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.VisionTransformer(32, 2, 4)
        >>> model = models.Segmenter(3, encoder, decoders.DPTDecoder((4, 4, 8, 8), width=4))
        >>> image = jnp.zeros((1, 32, 48, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 32, 48, 3)
    """

    widths: tuple[int, ...] = (256, 512, 1024, 1024)
    """Channels of each level as it changes its stride; the last counts for levels beyond."""
    width: int = 256
    """Channels where they are fused."""
    dropout: float = 0.1
    """Of the last features."""
    finest_stride: int = 2
    """Where it ends, at half of the pyramid's first stride: levels of a smaller one than that are left out."""
    to_pyramid: Callable[..., nn.Module] = ConvTranspose
    """The upsampler from a level's stride to that of the pyramid."""
    upsample: Callable[..., nn.Module] = partial(Bilinear, align_corners=True)
    """The upsampler between levels of the pyramid."""
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The finest stride, then the coarser ones of the pyramid, each halved."""
        check_levels(levels)
        counts(1, finest_stride=self.finest_stride, width=self.width)
        image, kept = levels[0], at_least(levels, 2 * self.finest_stride)

        def place(stride: int) -> Level:
            rows, columns = (-(-length * image.stride // stride) for length in image.size)
            return Level(None, (rows, columns), stride)

        fused, pyramid = None, []
        for i, level in reversed([*enumerate(kept, start=1)]):
            own = place(self.finest_stride * 2**i)
            y = self._residual(self._reassembled(level, own, i), f"own{i}", train)
            if fused is not None:
                y += fused
            y = self._residual(y, f"fused{i}", train)
            y = self.upsample(features=None, factor=2, name=f"up{i}")(y, place(own.stride // 2))
            fused = Conv(self.width, 1, dtype=y.dtype, name=f"out{i}")(y)
            pyramid.insert(0, place(own.stride // 2).holding(fused))
        y = self.block((self.width,), name="last")(fused, train=train)
        y = Dropout(self.dropout, deterministic=not train)(y)
        return (pyramid[0].holding(y), *pyramid[1:])

    def _reassembled(self, level: Level, own: Level, i: int) -> Float[Array, "n h w c"]:
        """The features of a level at the stride that it has in the pyramid."""
        x = level.features
        assert x is not None
        width = self.widths[min(i, len(self.widths)) - 1]
        read = x
        if level.tokens is not None:
            whole = jnp.broadcast_to(level.tokens[:, None, :1], x.shape)
            read = jnp.concatenate([x, whole], axis=-1)
        y = gelu(nn.Dense(x.shape[-1], dtype=x.dtype, name=f"read{i}")(read))
        y = Conv(width, 1, dtype=y.dtype, name=f"widen{i}")(y)
        if level.stride % own.stride == 0 and level.stride > own.stride:
            y = self.to_pyramid(features=width, factor=level.stride // own.stride, name=f"grow{i}")(y, own)
        elif own.stride % level.stride == 0 and level.stride < own.stride:
            y = Conv(width, 3, 1, stride=own.stride // level.stride, dtype=y.dtype, name=f"shrink{i}")(y)
        elif level.stride != own.stride:
            y = ops.resize(y, own.size, method="bilinear")
        return Conv(self.width, 3, 1, use_bias=False, dtype=y.dtype, name=f"narrow{i}")(y)

    def _residual(self, x: Float[Array, "n h w c"], name: str, train: bool) -> Float[Array, "n h w c"]:
        """Two convolutions, each after its activation, added to what they began with."""
        y = self.block((self.width,), name=f"{name}_1")(nn.relu(x), train=train)
        return x + self.block((self.width,), activation=None, name=f"{name}_2")(y, train=train)
