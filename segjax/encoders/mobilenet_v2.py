"""MobileNetV2. Names inside are torchvision's, `features.N.conv...`."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check
from segjax.encoders.dilation import dilated, stages_for
from segjax.layers import DropPath, batch_norm, in_sequence, normalized_conv
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"features\.18\.|classifier\."
"""The classifier and the convolution before it in torch's files, which an encoder has no place for."""
# Table 2 of the paper: expansion, width, blocks, stride.
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise 3x3 one, and a 1x1 one back without activation.

    The input is added where it does not stride and the width stays. With an expansion of 1 the first convolution is
    not there.
    """

    width: int
    expansion: int
    stride: int = 1
    dilation: int = 1
    drop_path: float = 0.0
    norm: Callable[..., nn.Module] = batch_norm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h2 w2 d"]:
        """Features of ceil(size / stride), `width` channels."""
        conv = partial(normalized_conv, train=train, norm=self.norm, dtype=self.dtype)
        inner = self.expansion * x.shape[-1]
        y, i = x, 0
        if self.expansion > 1:
            y, i = nn.relu6(conv(y, inner, 1, ("conv_0_0", "conv_0_1"))), 1
        depthwise = partial(conv, stride=self.stride, dilation=self.dilation, groups=inner)
        y = nn.relu6(depthwise(y, inner, 3, (f"conv_{i}_0", f"conv_{i}_1")))
        y = conv(y, self.width, 1, (f"conv_{i + 1}", f"conv_{i + 2}"))
        if self.stride > 1 or x.shape != y.shape:  # one pixel keeps its size where it is strided over
            return y
        return x + DropPath(self.drop_path)(y, train=train)


class MobileNetV2(nn.Module):
    """MobileNetV2 as an encoder (Sandler et al. 2018): levels at strides 2, 4, 8, 16 and 32, without activation.

    The deepest level is the last block's, as in timm; the convolution to 1280 channels belongs to the classifier unless
    `last_conv` asks for it.

    Examples:
        >>> encoder = encoders.MobileNetV2(depth=3)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(2, (1, 17, 24, 16)), (4, (1, 9, 12, 24)), (8, (1, 5, 6, 32))]
    """

    width_multiplier: float = 1.0
    """By which widths are multiplied, and rounded to multiples of 8."""
    depth: int = 5
    """Levels; those that are not asked for are not made."""
    output_stride: int = 32
    """8, 16 or 32: stages that would stride beyond it dilate."""
    dilate_first: bool = False
    """Whether the first block of such a stage is dilated as well: segmentation_models_pytorch does, torchvision not."""
    last_conv: bool = False
    """Whether the deepest level is what the classifier's 1x1 convolution makes of it: segmentation_models_pytorch takes
    that."""
    drop_path: float = 0.0
    """How often the last block is left out in training, image by image, and the others in proportion to their place
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
        parts: list[tuple[str, ...]] = [("features_0",)]
        first = 1
        for _, _, count, _ in _STAGES[: stages_for([stride for *_, stride in _STAGES], self.depth)]:
            parts.append(tuple(f"features_{first + i}" for i in range(count)))
            first += count
        return tuple(parts)

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """One level a resolution, each the last block's there."""
        check(image, self.depth, 1 + sum(stride > 1 for *_, stride in _STAGES))
        fields = {"norm": self.norm, "dtype": self.dtype}
        stem = rounded(32 * self.width_multiplier)
        x = nn.relu6(normalized_conv(image, stem, 3, ("features_0_0", "features_0_1"), train=train, stride=2, **fields))
        levels, number, whole = [], 1, sum(count for _, _, count, _ in _STAGES)
        all_steps = dilated([s for *_, s in _STAGES], 2, self.output_stride, dilate_first=self.dilate_first)
        for i, ((expansion, width, count, _), steps) in enumerate(zip(_STAGES, all_steps, strict=True)):
            block = partial(InvertedResidual, rounded(width * self.width_multiplier), expansion, **fields)
            first = partial(block, stride=steps.stride, dilation=steps.first_dilation)
            blocks = [first] + [partial(block, dilation=steps.dilation)] * (count - 1)
            rates = [self.drop_path * (number - 1 + j) / whole for j in range(count)]
            named = [
                partial(each, drop_path=rate, name=f"features_{number + j}")
                for j, (each, rate) in enumerate(zip(blocks, rates, strict=True))
            ]
            x = in_sequence(self, named, x, train=train, remat=self.remat)
            number += count
            if _STAGES[i + 1 :] and _STAGES[i + 1][-1] == 1:
                continue  # the next stage has the same resolution
            if self.last_conv and i == len(_STAGES) - 1:
                names, wide = ("features_18_0", "features_18_1"), rounded(1280 * max(1, self.width_multiplier))
                x = nn.relu6(normalized_conv(x, wide, 1, names, train=train, **fields))
            levels.append(level_at(image, steps.output_stride, x))
            if len(levels) == self.depth:
                break
        return tuple(levels)


def rounded(width: float) -> int:
    """The nearest multiple of 8, or the next where that would lose more than a tenth, as the paper's code has it."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


mobilenet_v2 = MobileNetV2
