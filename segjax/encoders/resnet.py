"""ResNet and its kin: deep stems (D), wide ones, ResNeXt. Names inside are torchvision's and timm's."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.encoders.asked import check, check_numbers
from segjax.encoders.dilation import Steps, dilated
from segjax.layers import DropPath, batch_norm, drop_path_rates, in_sequence, normalized_conv
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"fc\."
"""The classifier in torch's files, which an encoder has no place for."""
_WIDTHS = (64, 128, 256, 512)


Convs = list[tuple[int, int, dict[str, Any]]]
"""Width, window and further fields of each."""


class ResidualBlock(nn.Module):
    """Two or three convolutions, to whose output the input is added (He et al. 2016).

    Two of 3x3 or, as a bottleneck, one of 1x1 to the inner width, one of 3x3 there that strides, and one of 1x1. Where
    the size or the width changes, the input passes a 1x1 convolution before it is added.
    """

    width: int
    steps: Steps
    first: bool = False
    """Whether it is the first block of its stage, which strides."""
    bottleneck: int | None = None
    """The inner width of three convolutions; None for two."""
    groups: int = 1
    """Of the bottleneck's 3x3 convolution."""
    pooled: bool = False
    """Whether the shortcut strides by a mean pooling and not by its convolution (ResNet-D, He et al. 2019)."""
    drop_path: float = 0.0
    norm: Callable[..., nn.Module] = batch_norm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h2 w2 d"]:
        """Features of ceil(size / stride), `width` channels."""
        stride, dilation = self.steps.stride if self.first else 1, self.steps.dilation
        strided: dict[str, Any] = {"stride": stride, "dilation": self.steps.first_dilation if self.first else dilation}
        if self.bottleneck is None:
            convs: Convs = [(self.width, 3, strided), (self.width, 3, {"dilation": dilation})]
        else:
            inner = self.bottleneck
            convs = [(inner, 1, {}), (inner, 3, strided | {"groups": self.groups}), (self.width, 1, {})]
        conv = partial(normalized_conv, train=train, norm=self.norm, dtype=self.dtype)
        y = x
        for i, (width, window, fields) in enumerate(convs, start=1):
            y = conv(nn.relu(y) if i > 1 else y, width, window, (f"conv{i}", f"bn{i}"), **fields)
        if self.first and (stride > 1 or x.shape[-1] != self.width):
            if self.pooled:
                x = self._pooled(x, stride)
                x = conv(x, self.width, 1, ("downsample_1", "downsample_2"))
            else:
                x = conv(x, self.width, 1, ("downsample_0", "downsample_1"), stride=stride)
        return nn.relu(x + DropPath(self.drop_path)(y, train=train))

    def _pooled(self, x: Array, stride: int) -> Array:
        if stride > 1:
            return ops.avg_pool(x, 2, strides=stride, ceil_mode=True, count_include_pad=False)
        if self.steps.dilation > 1:  # timm's weights were pooled so, zeros beyond the edge included
            return ops.avg_pool(x, 2, strides=1, padding=((0, 1), (0, 1)))
        return x


class ResNet(nn.Module):
    """ResNet as an encoder (He et al. 2016): levels at strides 2, 4, 8, 16 and 32, as far as `output_stride` allows.

    The finest level is the stem's, before the overlapping 3x3 max-pooling, and has that pooling's indices.

    Examples:
        >>> encoder = encoders.ResNet((1, 1, 1, 1), bottleneck=False, depth=3)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(2, (1, 17, 24, 64)), (4, (1, 9, 12, 64)), (8, (1, 5, 6, 128))]
    """

    blocks: tuple[int, int, int, int]
    """How many blocks each stage has."""
    bottleneck: bool = True
    """Whether blocks have three convolutions, of four times the stage's width in the end, and not two."""
    groups: int = 1
    """Of the 3x3 convolutions: ResNeXt's cardinality (Xie et al. 2017)."""
    group_width: int = 64
    """Channels of a group in the first stage; twice as many without groups is a wide ResNet (Zagoruyko and Komodakis
    2016)."""
    deep_stem: bool = False
    """ResNet-D: three 3x3 convolutions for the 7x7 one, and shortcuts that stride by mean pooling (He et al. 2019)."""
    depth: int = 5
    """Levels; those that are not asked for are not made."""
    output_stride: int = 32
    """8, 16 or 32: stages that would stride beyond it dilate."""
    dilate_first: bool = False
    """Whether the first block of such a stage is dilated as well: segmentation_models_pytorch does, torchvision not."""
    drop_path: float = 0.0
    """How often the last block is left out in training, image by image; the first never, those between in proportion
    (Huang et al. 2016). It takes the rng "dropout"."""
    norm: Callable[..., nn.Module] = batch_norm
    """Called as `norm(use_running_average=..., dtype=..., name=...)`, as `nn.BatchNorm` is."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each stage again, instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        stem = ("conv1", "bn1")
        return (stem, *((f"layer{i}",) for i in range(1, self.depth)))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """One level a stage, the stem's first."""
        check_numbers(blocks=self.blocks, groups=self.groups, group_width=self.group_width)
        check(image, self.depth, 1 + len(self.blocks))
        x = self._stem(image, train)
        if self.depth == 1:
            return (level_at(image, 2, x),)
        pooled, indices = ops.max_pool_with_argmax(x, 3, strides=2, padding=1)
        levels = [level_at(image, 2, x, indices=indices)]
        x = pooled
        stages = dilated((1, 2, 2, 2), 4, self.output_stride, dilate_first=self.dilate_first)[: self.depth - 1]
        rates = drop_path_rates(self.drop_path, self.blocks)
        for i, (of_blocks, width, steps) in enumerate(zip(rates, _WIDTHS, stages, strict=False), start=1):
            block = partial(
                ResidualBlock,
                4 * width if self.bottleneck else width,
                steps,
                bottleneck=width * self.group_width // 64 * self.groups if self.bottleneck else None,
                groups=self.groups,
                pooled=self.deep_stem,
                norm=self.norm,
                dtype=self.dtype,
            )
            blocks = [
                partial(block, first=j == 0, drop_path=rate, name=f"layer{i}_{j}") for j, rate in enumerate(of_blocks)
            ]
            x = in_sequence(self, blocks, x, train=train, remat=self.remat)
            levels.append(level_at(image, steps.output_stride, x))
        return tuple(levels)

    def _stem(self, x: Array, train: bool) -> Array:
        conv = partial(normalized_conv, train=train, norm=self.norm, dtype=self.dtype)
        if not self.deep_stem:
            return nn.relu(conv(x, 64, 7, ("conv1", "bn1"), stride=2))
        x = nn.relu(conv(x, 32, 3, ("conv1_0", "conv1_1"), stride=2))
        x = nn.relu(conv(x, 32, 3, ("conv1_3", "conv1_4")))
        return nn.relu(conv(x, 64, 3, ("conv1_6", "bn1")))


resnet18: partial[ResNet] = partial(ResNet, blocks=(2, 2, 2, 2), bottleneck=False)
resnet34: partial[ResNet] = partial(ResNet, blocks=(3, 4, 6, 3), bottleneck=False)
resnet50: partial[ResNet] = partial(ResNet, blocks=(3, 4, 6, 3))
resnet101: partial[ResNet] = partial(ResNet, blocks=(3, 4, 23, 3))
resnet152: partial[ResNet] = partial(ResNet, blocks=(3, 8, 36, 3))
resnet18d: partial[ResNet] = partial(resnet18, deep_stem=True)
resnet34d: partial[ResNet] = partial(resnet34, deep_stem=True)
resnet50d: partial[ResNet] = partial(resnet50, deep_stem=True)
resnet101d: partial[ResNet] = partial(resnet101, deep_stem=True)
resnet152d: partial[ResNet] = partial(resnet152, deep_stem=True)
wide_resnet50_2: partial[ResNet] = partial(resnet50, group_width=128)
wide_resnet101_2: partial[ResNet] = partial(resnet101, group_width=128)
resnext50_32x4d: partial[ResNet] = partial(resnet50, groups=32, group_width=4)
resnext101_32x8d: partial[ResNet] = partial(resnet101, groups=32, group_width=8)
