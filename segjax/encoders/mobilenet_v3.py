"""MobileNetV3, of EfficientNet's blocks. Names inside are timm's; normalisation is as in torchvision."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby

import flax.linen as nn

from segjax.encoders.efficientnet import Block, EfficientNet, squeeze_excite, tf_batch_norm
from segjax.encoders.mobilenet_v2 import rounded

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


_mobilenet_v3 = partial(
    EfficientNet,
    stem=16,
    activation=nn.hard_swish,
    padding="symmetric",
    squeeze=partial(squeeze_excite, activation=nn.relu, gate=nn.hard_sigmoid),
    norm=tf_batch_norm,
)
mobilenet_v3_large: partial[EfficientNet] = partial(_mobilenet_v3, stages=_stages(_LARGE))
"""MobileNetV3-Large as an encoder (Howard et al. 2019): levels at strides 2 to 32, the deepest of 960 channels."""
mobilenet_v3_small: partial[EfficientNet] = partial(_mobilenet_v3, stages=_stages(_SMALL))
"""MobileNetV3-Small: levels at strides 2 to 32, the finest the stem's, the deepest of 576 channels."""
