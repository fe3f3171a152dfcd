"""DeepLab: convolutions of several dilations side by side, which see near and far at once."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax import ops
from segjax.decoders.climb import climb
from segjax.layers import Conv, ConvBlock
from segjax.layers.dropout import Dropout
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear


class SeparableBlock(nn.Module):
    """A depthwise convolution, then a 1x1 convolution with the block's norm and activation."""

    width: int
    dilation: int = 1
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w width"]:
        """Features of the same size."""
        channels = x.shape[-1]
        how = {"dilation": self.dilation, "groups": channels, "use_bias": False, "dtype": x.dtype}
        return self.block((self.width,), window=1, name="point")(Conv(channels, name="depth", **how)(x), train=train)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al. 2017): a pixel, three rings of dilated 3x3, and the whole image.

    Training takes the rng "dropout".

    Examples:
        >>> module = decoders.ASPP(width=8, rates=(1, 2, 3))
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 8)
    """

    width: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    """Dilations of the 3x3 convolutions: at an output stride of 16 the paper's are 6, 12, 18."""
    separable: bool = False
    dropout: float = 0.5
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w width"]:
        """Features of the same size."""
        seen = [self.block((self.width,), window=1, name="pixel")(x, train=train)]
        for i, rate in enumerate(self.rates, start=1):
            ring = (
                SeparableBlock(self.width, rate, self.block, name=f"ring{i}")
                if self.separable
                else self.block((self.width,), dilation=rate, name=f"ring{i}")
            )
            seen.append(ring(x, train=train))
        whole = self.block((self.width,), window=1, name="whole")(ops.adaptive_avg_pool(x, 1), train=train)
        seen.append(jnp.broadcast_to(whole, seen[0].shape))
        y = self.block((self.width,), window=1, name="project")(jnp.concatenate(seen, axis=-1), train=train)
        return Dropout(self.dropout, deterministic=not train)(y)


class DeepLabV3Decoder(nn.Module):
    """ASPP of the deepest level (Chen et al. 2017), best of an encoder whose output stride is 8.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.DeepLabV3Decoder(width=8, finest_stride=4))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 256
    rates: tuple[int, ...] = (12, 24, 36)
    separable: bool = False
    dropout: float = 0.5
    finest_stride: int = 8
    """Where the climb from the deepest level ends."""
    upsample: Callable[..., nn.Module] = Bilinear
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The deepest level and those that were climbed to, finest first."""
        check_levels(levels)
        x = levels[-1]
        assert x.features is not None
        y = ASPP(self.width, self.rates, self.separable, self.dropout, self.block, name="aspp")(x.features, train=train)
        y = self.block((self.width,), name="conv")(y, train=train)
        return climb(x.holding(y), levels, self.finest_stride, self.upsample)


class DeepLabV3PlusDecoder(nn.Module):
    """ASPP of the deepest level, and beside it a narrow copy of a fine one (Chen et al. 2018), with separable
    convolutions.

    Raises:
        ValueError: no level of the finest stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.DeepLabV3PlusDecoder(width=8, fine_width=4, finest_stride=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 256
    fine_width: int = 48
    """Channels that the fine level keeps."""
    rates: tuple[int, ...] = (12, 24, 36)
    dropout: float = 0.5
    finest_stride: int = 4
    """Of the fine level; the first beyond where there is none."""
    upsample: Callable[..., nn.Module] = Bilinear
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """What was fused at the fine level, then the deepest, each where it is."""
        check_levels(levels)
        x, fine = levels[-1], at_least(levels, self.finest_stride)[0]
        assert x.features is not None
        y = ASPP(self.width, self.rates, True, self.dropout, self.block, name="aspp")(x.features, train=train)
        y = SeparableBlock(self.width, block=self.block, name="deep")(y, train=train)
        deep = x.holding(y)
        y = self.upsample(features=self.width, factor=x.stride // fine.stride, name="up")(y, fine)
        kept = self.block((self.fine_width,), window=1, name="fine")(fine.features, train=train)
        y = SeparableBlock(self.width, block=self.block, name="fuse")(jnp.concatenate([y, kept], axis=-1), train=train)
        return (fine.holding(y), deep)
