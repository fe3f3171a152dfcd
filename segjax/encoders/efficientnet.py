"""EfficientNet, its Lite and V2. Names inside are timm's, padding and normalisation TensorFlow's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check, check_numbers
from segjax.encoders.dilation import dilated, stages_for
from segjax.encoders.mobilenet_v2 import rounded
from segjax.layers import ChannelGate, DropPath, batch_norm, in_sequence, normalized_conv
from segjax.layers.norm import BatchNorm
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"(conv_head|bn2|classifier)\."
"""The classifier and the convolution before it in torch's files, which an encoder has no place for."""
Activation = Callable[[Array], Array]
Kind = Literal["separable", "inverted", "fused", "conv"]
tf_batch_norm: partial[BatchNorm] = partial(batch_norm, momentum=0.99, epsilon=1e-3)
"""Batch normalisation with TensorFlow's momentum and epsilon."""


squeeze_excite: partial[ChannelGate] = partial(ChannelGate, activation=nn.silu, names=("conv_reduce", "conv_expand"))
"""The weights of channels, under timm's names."""


@dataclass(frozen=True)
class Block:
    """What a block is made of.

    "separable": a depthwise convolution and one of 1x1; "inverted": one of 1x1 to the inner width before these;
    "fused": one to the inner width and one of 1x1; "conv": one alone. The last of two or three has no activation.
    """

    kind: Kind
    inner: int
    width: int
    window: int = 3
    stride: int = 1
    squeeze: int = 0
    """Channels of squeeze and excitation, before the last convolution; 0 for none."""
    activation: Activation = nn.silu


class MobileBlock(nn.Module):
    """A block of EfficientNet, to which its input is added where it does not stride and the width stays."""

    block: Block
    dilation: int = 1
    padding: str = "SAME"
    squeeze: Callable[..., nn.Module] = squeeze_excite
    drop_path: float = 0.0
    norm: Callable[..., nn.Module] | None = tf_batch_norm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h2 w2 d"]:
        """Features of ceil(size / stride), `block.width` channels."""
        block, activation = self.block, self.block.activation
        shared = {"train": train, "padding": self.padding, "norm": self.norm, "dtype": self.dtype}
        conv = partial(normalized_conv, **shared)
        moving = partial(conv, stride=block.stride, dilation=self.dilation)
        match block.kind:
            case "conv":
                y = activation(moving(x, block.width, block.window, ("conv", "bn1")))
            case "fused":
                y = activation(moving(x, block.inner, block.window, ("conv_exp", "bn1")))
                y = conv(self._squeezed(y), block.width, 1, ("conv_pwl", "bn2"))
            case "separable":
                y = activation(moving(x, block.inner, block.window, ("conv_dw", "bn1"), groups=block.inner))
                y = conv(self._squeezed(y), block.width, 1, ("conv_pw", "bn2"))
            case "inverted":
                y = activation(conv(x, block.inner, 1, ("conv_pw", "bn1")))
                y = activation(moving(y, block.inner, block.window, ("conv_dw", "bn2"), groups=block.inner))
                y = conv(self._squeezed(y), block.width, 1, ("conv_pwl", "bn3"))
        if block.stride > 1 or x.shape != y.shape:  # one pixel keeps its size where it is strided over
            return y
        return x + DropPath(self.drop_path)(y, train=train)

    def _squeezed(self, y: Array) -> Array:
        return y * self.squeeze(self.block.squeeze, dtype=self.dtype, name="se")(y) if self.block.squeeze else y


class EfficientNet(nn.Module):
    """EfficientNet as an encoder (Tan and Le 2019, 2021): levels at strides 2, 4, 8, 16 and 32.

    Each is the last block's of its resolution; the convolution before the classifier belongs to the classifier.

    Examples:
        >>> encoder = encoders.named("efficientnet_lite0", depth=3)
        >>> type(encoder).__name__, encoder.depth
        ('EfficientNet', 3)
    """

    stages: tuple[tuple[Block, ...], ...]
    stem: int = 32
    """Channels of the first convolution."""
    activation: Activation = nn.silu
    """Of the stem."""
    padding: str = "SAME"
    """"SAME", of the actual size, as weights of TensorFlow need it, or "symmetric", as torch pads."""
    symmetric_at: tuple[int, ...] = ()
    """Strides of features that are strided over with symmetric padding all the same: segmentation_models_pytorch pads
    its EfficientNets as for images of one size, which is odd there."""
    squeeze: Callable[..., nn.Module] = squeeze_excite
    """Called as `squeeze(width, dtype=..., name="se")(x)`, for a weight of each channel."""
    drop_path: float = 0.0
    """How often the last block is left out in training, image by image, and the others in proportion to their place
    (Huang et al. 2016); published with 0.2. It takes the rng "dropout"."""
    depth: int = 5
    """Levels; those that are not asked for are not made."""
    output_stride: int = 32
    """8, 16 or 32: stages that would stride beyond it dilate."""
    dilate_first: bool = False
    """Whether the first block of such a stage is dilated as well: segmentation_models_pytorch does, torchvision not."""
    stem_level: bool = False
    """Whether the level at stride 2 is the stem's, and not the last block's there: segmentation_models_pytorch takes
    the stem's."""
    first_block_at: tuple[int, ...] = ()
    """Strides, before any dilation, of which the level is that of the first block of the last stage, and not of its
    last block: torchvision takes that of stride 8 in MobileNetV3, segmentation_models_pytorch that of stride 16 in
    EfficientNet-B0. The other blocks belong to what comes after it, and with `dilate_first` dilate as that does."""
    norm: Callable[..., nn.Module] | None = tf_batch_norm
    """Called as `norm(use_running_average=..., dtype=..., name=...)`, as `nn.BatchNorm` is; None for none."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each stage again, instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        count = stages_for([stage[0].stride for stage in self.stages], self.depth)
        return (("conv_stem", "bn1"), *((f"blocks_{i}",) for i in range(count)))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """One level a resolution."""
        check_numbers(stem=self.stem)
        check(image, self.depth, 1 + sum(stage[0].stride > 1 for stage in self.stages))
        shared = {"norm": self.norm, "dtype": self.dtype}
        stem = {"stride": 2, "padding": self._padding(1)} | shared
        x = normalized_conv(image, self.stem, 3, ("conv_stem", "bn1"), train=train, **stem)
        x = self.activation(x)
        strides = [stage[0].stride for stage in self.stages]
        all_steps = dilated(strides, 2, self.output_stride, dilate_first=self.dilate_first)
        levels, number, count = [], 0, sum(map(len, self.stages))
        if self.stem_level or strides[0] > 1:
            levels.append(level_at(image, 2, x))
        for i, (stage, steps) in enumerate(zip(self.stages, all_steps, strict=True)):
            if len(levels) == self.depth:
                break
            tapped = 2 * math.prod(strides[: i + 1]) in self.first_block_at
            following = [*all_steps, steps][i + 1] if tapped and self.dilate_first else steps
            blocks = [
                partial(
                    MobileBlock,
                    block if j else replace(block, stride=steps.stride),
                    dilation=following.dilation if j else steps.first_dilation,
                    padding=self._padding(steps.output_stride // steps.stride),
                    squeeze=self.squeeze,
                    drop_path=self.drop_path * (number + j) / count,
                    name=f"blocks_{i}_{j}",
                    **shared,
                )
                for j, block in enumerate(stage)
            ]
            run, own = partial(in_sequence, self, train=train, remat=self.remat), None
            if tapped:
                x = own = run(blocks[:1], x)
                blocks = blocks[1:]
            x = run(blocks, x)
            number += len(stage)
            if strides[i + 1 : i + 2] != [1] and not (self.stem_level and steps.output_stride == 2):
                levels.append(level_at(image, steps.output_stride, x if own is None else own))
        return tuple(levels)

    def _padding(self, stride: int) -> str:
        """Of convolutions of features at that stride."""
        return "symmetric" if stride in self.symmetric_at else self.padding


Row = tuple[Kind, int, int, int, int, int]
"""Of a published table: kind, window, stride, expansion, width and count of a stage's blocks."""
_B0: tuple[Row, ...] = (
    ("separable", 3, 1, 1, 16, 1),
    ("inverted", 3, 2, 6, 24, 2),
    ("inverted", 5, 2, 6, 40, 2),
    ("inverted", 3, 2, 6, 80, 3),
    ("inverted", 5, 1, 6, 112, 3),
    ("inverted", 5, 2, 6, 192, 4),
    ("inverted", 3, 1, 6, 320, 1),
)
_V2_S: tuple[Row, ...] = (
    ("conv", 3, 1, 1, 24, 2),
    ("fused", 3, 2, 4, 48, 4),
    ("fused", 3, 2, 4, 64, 4),
    ("inverted", 3, 2, 4, 128, 6),
    ("inverted", 3, 1, 6, 160, 9),
    ("inverted", 3, 2, 6, 256, 15),
)
_V2_M: tuple[Row, ...] = (
    ("conv", 3, 1, 1, 24, 3),
    ("fused", 3, 2, 4, 48, 5),
    ("fused", 3, 2, 4, 80, 5),
    ("inverted", 3, 2, 4, 160, 7),
    ("inverted", 3, 1, 6, 176, 14),
    ("inverted", 3, 2, 6, 304, 18),
    ("inverted", 3, 1, 6, 512, 5),
)
_V2_L: tuple[Row, ...] = (
    ("conv", 3, 1, 1, 32, 4),
    ("fused", 3, 2, 4, 64, 7),
    ("fused", 3, 2, 4, 96, 7),
    ("inverted", 3, 2, 4, 192, 10),
    ("inverted", 3, 1, 6, 224, 19),
    ("inverted", 3, 2, 6, 384, 25),
    ("inverted", 3, 1, 6, 640, 7),
)


def _stages(rows: Sequence[Row], before: int, activation: Activation, squeezed: bool) -> tuple[tuple[Block, ...], ...]:
    """The blocks of a table, after a stem of `before` channels; those with a depthwise convolution may squeeze."""
    stages = []
    for kind, window, stride, expansion, width, count in rows:
        blocks = []
        for j in range(count):
            squeeze = before // 4 if squeezed and kind in ("separable", "inverted") else 0
            inner = rounded(before * expansion)
            blocks.append(Block(kind, inner, width, window, 1 if j else stride, squeeze, activation))
            before = width
        stages.append(tuple(blocks))
    return tuple(stages)


def scaled(width: float, depth: float, lite: bool = False) -> partial[EfficientNet]:
    """B0 by the compound scaling of widths and depths; Lite has relu6, no squeezing, and its ends keep their depth."""
    stem = 32 if lite else rounded(32 * width)
    activation = nn.relu6 if lite else nn.silu
    ends = (_B0[0], _B0[-1]) if lite else ()
    rows: list[Row] = [
        (*row[:4], rounded(row[4] * width), row[5] if row in ends else math.ceil(row[5] * depth)) for row in _B0
    ]
    return partial(EfficientNet, stages=_stages(rows, stem, activation, not lite), stem=stem, activation=activation)


efficientnet_lite0: partial[EfficientNet] = scaled(1.0, 1.0, lite=True)
efficientnet_lite1: partial[EfficientNet] = scaled(1.0, 1.1, lite=True)
efficientnet_lite2: partial[EfficientNet] = scaled(1.1, 1.2, lite=True)
efficientnet_lite3: partial[EfficientNet] = scaled(1.2, 1.4, lite=True)
efficientnet_lite4: partial[EfficientNet] = scaled(1.4, 1.8, lite=True)
efficientnet_b0: partial[EfficientNet] = scaled(1.0, 1.0)
efficientnet_b1: partial[EfficientNet] = scaled(1.0, 1.1)
efficientnet_b2: partial[EfficientNet] = scaled(1.1, 1.2)
efficientnet_b3: partial[EfficientNet] = scaled(1.2, 1.4)
efficientnet_b4: partial[EfficientNet] = scaled(1.4, 1.8)
efficientnet_b5: partial[EfficientNet] = scaled(1.6, 2.2)
efficientnet_b6: partial[EfficientNet] = scaled(1.8, 2.6)
efficientnet_b7: partial[EfficientNet] = scaled(2.0, 3.1)
efficientnet_v2_s: partial[EfficientNet] = partial(EfficientNet, stages=_stages(_V2_S, 24, nn.silu, True), stem=24)
efficientnet_v2_m: partial[EfficientNet] = partial(EfficientNet, stages=_stages(_V2_M, 24, nn.silu, True), stem=24)
efficientnet_v2_l: partial[EfficientNet] = partial(EfficientNet, stages=_stages(_V2_L, 32, nn.silu, True), stem=32)
