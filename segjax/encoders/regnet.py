"""RegNetY (Radosavovic et al. 2020), by timm's names."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check, check_numbers
from segjax.encoders.dilation import Steps, dilated
from segjax.layers import ChannelGate, DropPath, drop_path_rates, normalized_conv
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"head\."
"""Names of timm's files that the encoder has no place for: the classifier's."""

_STEM = 32


class RegNetY(nn.Module):
    """Residual blocks of grouped 3x3 convolutions with squeeze-and-excitation; widths and depths are the paper's.

    Examples:
        >>> encoder = encoders.RegNetY((8, 8, 16, 16), (1, 1, 1, 1), group_width=8, depth=3)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(2, (1, 17, 24, 32)), (4, (1, 9, 12, 8)), (8, (1, 5, 6, 8))]
    """

    widths: tuple[int, ...]
    """Channels of each of the four stages."""
    blocks: tuple[int, ...]
    """Blocks of each stage."""
    group_width: int
    """Channels that are convolved together."""
    depth: int = 5
    """How many levels are made, the stem's included."""
    output_stride: int = 32
    """8, 16 or 32: beyond it stages dilate instead of striding."""
    drop_path: float = 0.0
    """The share of images that the last block is left out for while training; earlier ones less."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters and statistics are float32."""
    remat: bool = False
    """Whether the backward pass computes each block again instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        return (("stem",), *((f"s{i}",) for i in range(1, self.depth)))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """Levels at strides 2, 4, 8, 16 and 32, or at most `output_stride`.

        Raises:
            ValueError: `group_width` does not divide a width.
        """
        check_numbers(widths=self.widths, blocks=self.blocks, group_width=self.group_width)
        check(image, self.depth, 1 + min(len(self.widths), len(self.blocks)))
        if uneven := [width for width in self.widths if width % self.group_width]:
            raise ValueError(f"groups of {self.group_width} channels do not divide {uneven[0]}: give another width.")
        block = nn.remat(_Block, static_argnums=(2,)) if self.remat else _Block
        rates = drop_path_rates(self.drop_path, self.blocks)
        x = nn.relu(_ConvNorm(_STEM, 3, 2, dtype=self.dtype, name="stem")(image, train))
        levels = [level_at(image, 2, x)]
        for i, steps in enumerate(dilated((2, 2, 2, 2), 2, self.output_stride)[: self.depth - 1]):
            stage = _Stage(block, self.widths[i], self.group_width, steps, rates[i], self.dtype, name=f"s{i + 1}")
            x = stage(x, train)
            levels.append(level_at(image, steps.output_stride, x))
        return tuple(levels)


class _Stage(nn.Module):
    block: Callable[..., nn.Module]
    width: int
    group_width: int
    steps: Steps
    rates: list[float]
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        for i, rate in enumerate(self.rates):
            how = (1, self.steps.dilation) if i else self.steps[:2]
            x = self.block(self.width, self.group_width, *how, rate, self.dtype, name=f"b{i + 1}")(x, train)
        return x


class _Block(nn.Module):
    width: int
    group_width: int
    stride: int
    dilation: int
    drop_path: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        convolve = partial(_ConvNorm, dtype=self.dtype)
        groups = self.width // self.group_width
        y = nn.relu(convolve(self.width, 1, name="conv1")(x, train))
        y = nn.relu(convolve(self.width, 3, self.stride, self.dilation, groups, name="conv2")(y, train))
        y = y * ChannelGate(x.shape[-1] // 4, dtype=self.dtype, name="se")(y)
        y = convolve(self.width, 1, name="conv3")(y, train)
        if self.stride > 1 or x.shape[-1] != self.width:
            x = convolve(self.width, 1, self.stride, name="downsample")(x, train)
        return nn.relu(x + DropPath(self.drop_path)(y, train=train))


class _ConvNorm(nn.Module):
    width: int
    window: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        conv = partial(normalized_conv, stride=self.stride, dilation=self.dilation, groups=self.groups)
        return conv(x, self.width, self.window, ("conv", "bn"), train=train, dtype=self.dtype)


regnety_002: partial[RegNetY] = partial(RegNetY, (24, 56, 152, 368), (1, 1, 4, 7), 8)
regnety_004: partial[RegNetY] = partial(RegNetY, (48, 104, 208, 440), (1, 3, 6, 6), 8)
regnety_006: partial[RegNetY] = partial(RegNetY, (48, 112, 256, 608), (1, 3, 7, 4), 16)
regnety_008: partial[RegNetY] = partial(RegNetY, (64, 128, 320, 768), (1, 3, 8, 2), 16)
regnety_016: partial[RegNetY] = partial(RegNetY, (48, 120, 336, 888), (2, 6, 17, 2), 24)
regnety_032: partial[RegNetY] = partial(RegNetY, (72, 216, 576, 1512), (2, 5, 13, 1), 24)
regnety_040: partial[RegNetY] = partial(RegNetY, (128, 192, 512, 1088), (2, 6, 12, 2), 64)
regnety_064: partial[RegNetY] = partial(RegNetY, (144, 288, 576, 1296), (2, 7, 14, 2), 72)
regnety_080: partial[RegNetY] = partial(RegNetY, (168, 448, 896, 2016), (2, 4, 10, 1), 56)
regnety_120: partial[RegNetY] = partial(RegNetY, (224, 448, 896, 2240), (2, 5, 11, 1), 112)
regnety_160: partial[RegNetY] = partial(RegNetY, (224, 448, 1232, 3024), (2, 4, 11, 1), 112)
regnety_320: partial[RegNetY] = partial(RegNetY, (232, 696, 1392, 3712), (2, 5, 12, 1), 232)
