"""PAN: a pyramid of attention at the deepest level, whose global view gates every finer one."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from segjax import ops
from segjax.layers import ConvBlock
from segjax.level import Level, at_least, check_levels
from segjax.upsampling import Bilinear


class PyramidAttention(nn.Module):
    """The features weighed by one map that was made at a half, a quarter and an eighth of their size (Li et al. 2018),
    and what the whole image looks like added.

    Sizes round down, and a side of one cell stays, so that a map of any size has all three.

    Examples:
        >>> module = decoders.PyramidAttention(width=8)
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 8)
    """

    width: int
    align_corners: bool = False
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w width"]:
        """Features of the same size."""

        def seen(x: Array, window: int, name: str, widths: tuple[int, ...] = (1,)) -> Array:
            return self.block(widths, window=window, name=name)(x, train=train)

        def halved(x: Array) -> Array:
            return ops.max_pool_with_argmax(x, window=2, ceil_mode=1 in x.shape[1:3])[0]

        def to(x: Array, like: Array) -> Array:
            return ops.resize(x, like.shape[1:3], method="bilinear", align_corners=self.align_corners)

        whole = seen(ops.adaptive_avg_pool(x, 1), 1, "whole", (self.width,))
        half = seen(halved(x), 7, "down1")
        quarter = seen(halved(half), 5, "down2")
        eighth = seen(halved(quarter), 3, "down3", (1, 1))
        weights = seen(quarter, 5, "level2") + to(eighth, quarter)
        weights = to(weights, half) + seen(half, 7, "level1")
        return to(weights, x) * seen(x, 1, "middle", (self.width,)) + whole


class PANDecoder(nn.Module):
    """Pyramid attention network (Li et al. 2018), best of an encoder whose output stride is 16.

    At every finer level what climbs is added to the level's features, which are gated by what climbs.

    Raises:
        ValueError: no level of the finest stride or a larger one, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (4,), (8,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.PANDecoder(width=4, finest_stride=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    width: int = 32
    finest_stride: int = 4
    """Where the climb ends: levels of a smaller stride are left out."""
    align_corners: bool = False
    """Of the pyramid's own interpolations."""
    upsample: Callable[..., nn.Module] = Bilinear
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The deepest level and those that were climbed to, finest first."""
        check_levels(levels)
        *goals, x = at_least(levels, self.finest_stride)
        pyramid = PyramidAttention(self.width, self.align_corners, self.block, name="pyramid")
        x = x.holding(pyramid(x.features, train=train))
        passed = [x]
        for i, to in reversed([*enumerate(goals, start=1)]):
            assert x.features is not None
            gate = self.block((self.width,), window=1, activation=nn.sigmoid, name=f"gate{i}")
            gate = gate(ops.adaptive_avg_pool(x.features, 1), train=train)
            fine = self.block((self.width,), name=f"fine{i}")(to.features, train=train)
            up = self.upsample(features=self.width, factor=x.stride // to.stride, name=f"up{i}")(x.features, to)
            x = to.holding(up + fine * gate)
            passed.insert(0, x)
        return tuple(passed)
