"""MobileNetV3, of EfficientNet's blocks. Names inside are timm's; normalisation is as in torchvision."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import flax.linen as nn

from segjax.encoders.efficientnet import Block, EfficientNet, SqueezeExcite, tf_batch_norm
from segjax.encoders.mobilenet_v2 import rounded

TORCH_UNUSED = r"(conv_head|classifier)\."
"""The classifier in torch's files, which an encoder has no place for."""
Row = tuple[int, int, int, int, bool, bool]
"""Of the paper's tables 1 and 2: window, inner width, width, stride; whether channels are weighed, and hard-swish."""
_LARGE: tuple[Row, ...] = (
    (3, 16, 16, 1, False, False),
    (3, 64, 24, 2, False, False),
    (3, 72, 24, 1, False, False),
    (5, 72, 40, 2, True, False),
    (5, 120, 40, 1, True, False),
    (5, 120, 40, 1, True, False),
    (3, 240, 80, 2, False, True),
    (3, 200, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 480, 112, 1, True, True),
    (3, 672, 112, 1, True, True),
    (5, 672, 160, 2, True, True),
    (5, 960, 160, 1, True, True),
    (5, 960, 160, 1, True, True),
)
_SMALL: tuple[Row, ...] = (
    (3, 16, 16, 2, True, False),
    (3, 72, 24, 2, False, False),
    (3, 88, 24, 1, False, False),
    (5, 96, 40, 2, True, True),
    (5, 240, 40, 1, True, True),
    (5, 240, 40, 1, True, True),
    (5, 120, 48, 1, True, True),
    (5, 144, 48, 1, True, True),
    (5, 288, 96, 2, True, True),
    (5, 576, 96, 1, True, True),
    (5, 576, 96, 1, True, True),
)


def _stages(rows: Sequence[Row]) -> tuple[tuple[Block, ...], ...]:
    """Blocks of one width are a stage, and so is the 1x1 convolution after them, six times as wide."""
    blocks = [
        Block(
            "inverted" if i else "separable",
            inner,
            width,
            window,
            stride,
            rounded(inner / 4) if squeezed else 0,
            nn.hard_swish if swish else nn.relu,
        )
        for i, (window, inner, width, stride, squeezed, swish) in enumerate(rows)
    ]
    last = blocks[-1].width
    stages = [tuple(stage) for _, stage in groupby(blocks, lambda block: block.width)]
    return (*stages, (Block("conv", last, 6 * last, 1, activation=nn.hard_swish),))


def torchvision_names(encoder: EfficientNet) -> list[tuple[str, str]]:
    """What brings the names of torchvision's files, which count blocks through and the layers of each."""
    names = [(r"^features\.0\.0\.", "conv_stem."), (r"^features\.0\.1\.", "bn1.")]
    number = 1
    for i, stage in enumerate(encoder.stages):
        for j, block in enumerate(stage):
            path, original = f"blocks.{i}.{j}.", rf"^features\.{number}\."
            number += 1
            if block.kind == "conv":
                names += [(original + r"0\.", path + "conv."), (original + r"1\.", path + "bn1.")]
                continue
            convs = ["conv_pw", "conv_dw", "conv_pwl"] if block.kind == "inverted" else ["conv_dw", "conv_pw"]
            for k, conv in enumerate(convs):
                layer = k + (block.squeeze > 0 and conv == convs[-1])
                names.append((rf"{original}block\.{layer}\.0\.", f"{path}{conv}."))
                names.append((rf"{original}block\.{layer}\.1\.", f"{path}bn{k + 1}."))
            for old, new in (("fc1", "conv_reduce"), ("fc2", "conv_expand")):
                names.append((rf"{original}block\.\d\.{old}\.", f"{path}se.{new}."))
    return names


_mobilenet_v3 = partial(
    EfficientNet,
    stem=16,
    activation=nn.hard_swish,
    padding="symmetric",
    squeeze=partial(SqueezeExcite, activation=nn.relu, gate=nn.hard_sigmoid),
    norm=tf_batch_norm,
)
mobilenet_v3_large = partial(_mobilenet_v3, stages=_stages(_LARGE))
"""MobileNetV3-Large as an encoder (Howard et al. 2019): levels at strides 2 to 32, the deepest of 960 channels."""
mobilenet_v3_small = partial(_mobilenet_v3, stages=_stages(_SMALL))
"""MobileNetV3-Small: levels at strides 2 to 32, the finest the stem's, the deepest of 576 channels."""
