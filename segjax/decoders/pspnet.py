"""PSPNet: what the whole image, its halves, thirds and sixths look like, beside every pixel."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax import ops
from segjax.decoders.climb import climb
from segjax.layers import ConvBlock
from segjax.layers.dropout import Dropout
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear


class PyramidPooling(nn.Module):
    """The means of 1, 2x2, 3x3 and 6x6 parts of the image, each of `width` channels and brought back to every pixel.

    Examples:
        >>> decoders.PyramidPooling(width=8).sizes
        (1, 2, 3, 6)
    """

    width: int
    sizes: tuple[int, ...] = (1, 2, 3, 6)
    align_corners: bool = False
    normalise_whole: bool = False
    """Whether the mean of the whole image is normalised, too: over a batch of one image its variance is 0."""
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> list[Float[Array, "n h w width"]]:
        """One array a size, each of the size of `x`."""
        pooled = []
        for i, size in enumerate(self.sizes, start=1):
            plain = {"norm": None} if size == 1 and not self.normalise_whole else {}
            block = self.block((self.width,), window=1, name=f"pool{i}", **plain)
            y = block(ops.adaptive_avg_pool(x, size), train=train)
            pooled.append(ops.resize(y, x.shape[1:3], method="bilinear", align_corners=self.align_corners))
        return pooled


class PSPNetDecoder(nn.Module):
    """Pyramid pooling of the level at one stride, and a convolution of it (Zhao et al. 2017).

    Training takes the rng "dropout".

    Raises:
        ValueError: no level of that stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.PSPNetDecoder(stride=4, width=8, finest_stride=4))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    stride: int = 8
    """Of the level that is read; the first beyond where there is none."""
    width: int = 512
    dropout: float = 0.2
    """Of whole channels."""
    finest_stride: int = 8
    """Where the climb from there ends."""
    upsample: Callable[..., nn.Module] = Bilinear
    block: Callable[..., nn.Module] = ConvBlock
    align_corners: bool = False
    """How what was pooled is interpolated back."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The level that was read and those that were climbed to, finest first."""
        check_levels(levels)
        reached = at_least(levels, self.stride)
        level = [each for each in reached if each.stride == reached[0].stride][-1]
        x = level.features
        assert x is not None
        pool = PyramidPooling(x.shape[-1] // 4, align_corners=self.align_corners, block=self.block, name="pyramid")
        y = jnp.concatenate([*pool(x, train=train), x], axis=-1)
        y = self.block((self.width,), window=1, name="conv")(y, train=train)
        y = Dropout(self.dropout, broadcast_dims=(1, 2), deterministic=not train)(y)
        return climb(level.holding(y), levels, self.finest_stride, self.upsample)
