"""MediaPipe's selfie segmentation: a person in front of a camera, with 106,401 parameters."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import flax.linen as nn

from segjax import ops
from segjax.encoders.efficientnet import Block, EfficientNet, squeeze_excite
from segjax.layers import ChannelGate, Conv, Normalized
from segjax.level import Level
from segjax.models import saved
from segjax.models.card import About
from segjax.models.segmenter import Segmenter
from segjax.upsampling import ConvTranspose
from segjax.weights.convert import from_torch
from segjax.weights.record import Npm, Record

RECORD = Record(
    name="selfie.mediapipe",
    encoder="",
    source=Npm(
        "@mediapipe/selfie_segmentation",
        "0.1.1675465747",
        "7767b33eaa68990ee06c28bbb89f39a13a47ebb07ff0f1fd4947d9e817bb9bf9",
        "selfie_segmentation.tflite",
    ),
    sha256="8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
    licence="Apache-2.0",
    paper="Howard et al. 2019, arXiv:1905.02244, for the encoder",
    parameters=106_401,
    size=256,
    classes=0,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
_STAGES = (
    (Block("inverted", 16, 16, 3, 2, 8, nn.relu),),
    (Block("inverted", 72, 24, 3, 2, 0, nn.relu), Block("inverted", 88, 24, 3, 1, 0, nn.relu)),
    (
        Block("inverted", 96, 32, 5, 2, 24, nn.hard_swish),
        *(Block("inverted", 128, 32, 5, 1, 32, nn.hard_swish),) * 2,
        *(Block("inverted", 96, 32, 5, 1, 24, nn.hard_swish),) * 2,
    ),
)
"""The inverted residuals of a small MobileNetV3, up to stride 16."""


class GatedClimb(nn.Module):
    """The deepest level gated by its own mean, and a climb in which finer levels are gated by the means of both."""

    width: int = 128
    """Channels of the deepest level when it is gated."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """One level, of one channel, at the image's own place."""
        del train  # nothing is normalised
        *finer, deepest = levels
        assert deepest.features is not None
        conv = partial(Conv, window=1, dtype=deepest.features.dtype)
        x = nn.relu(conv(self.width, name="deep")(deepest.features))
        x = x * nn.sigmoid(conv(self.width, name="gate")(deepest.features.mean((1, 2), keepdims=True)))
        for i, to in enumerate(reversed(finer[1:]), start=1):
            assert to.features is not None
            x = conv(to.width, name=f"narrow{i}")(ops.resize(x, to.size, method="bilinear"))
            gate = ChannelGate(to.width, dtype=x.dtype, name=f"gate{i}")(to.features + x)
            x = nn.relu(conv(to.width, name=f"mix{i}")(to.features * gate + x))
            spread = Conv(to.width, 3, groups=to.width, dtype=x.dtype, name=f"spread{i}")(x)
            x = x + nn.relu(spread)
        logits = ConvTranspose(1, 2, name="segment")(x, finer[0])
        return (finer[0].holding(logits),)


def selfie() -> Normalized:
    """Selfie segmentation behind what takes uint8 images as they are; trained on 256x256 of a person close by.

    One logit for every pixel, of its being the person's. Normalisation was folded into the kernels. On sizes that 16
    divides it is the published network. 106,401 parameters.

    Examples:
        >>> type(models.selfie().model).__name__
        'Segmenter'
    """
    encoder = EfficientNet(
        _STAGES,
        stem=16,
        activation=nn.hard_swish,
        squeeze=partial(squeeze_excite, activation=nn.relu, gate=nn.sigmoid),
        depth=4,
        norm=None,
    )
    return Normalized(Segmenter(1, encoder, GatedClimb(), head=None), **RECORD.statistics)


def open_selfie() -> tuple[Normalized, dict[str, Any], About]:
    """`selfie` with the weights that MediaPipe publishes, which are of 16 bits.

    Raises:
        DataError: they cannot be fetched or read.
    """
    model, state = selfie(), RECORD.read()
    names = {f"{layer}.{leaf}": f"{path}.{leaf}" for layer, path in _names() for leaf in ("weight", "bias")}
    brought = {names.get(name, name): value for name, value in state.items()}
    like = {"params": saved.shapes(model, 3)["params"]["model"]}
    params = from_torch(brought, like, transposed=r"decoder\.segment\.")["params"]
    about = About(("background", "person"), licence=RECORD.licence, trained_on="photographs of people, of Google's")
    return model, {"params": {"model": params}}, about


def _names() -> Iterator[tuple[str, str]]:
    """Keras's names of the layers, which it counts, and those here."""
    plain, depthwise = ["encoder.conv_stem"], []
    for i, stage in enumerate(_STAGES):
        for j, block in enumerate(stage):
            parts = ("conv_pw", *(("se.conv_reduce", "se.conv_expand") if block.squeeze else ()), "conv_pwl")
            plain += [f"encoder.blocks.{i}.{j}.{part}" for part in parts]
            depthwise.append(f"encoder.blocks.{i}.{j}.conv_dw")
    plain += ["decoder.deep", "decoder.gate"]
    for i in (1, 2, 3):
        plain += [f"decoder.{part}" for part in (f"narrow{i}", f"gate{i}.fc1", f"gate{i}.fc2", f"mix{i}")]
        depthwise.append(f"decoder.spread{i}")
    for layer, paths in (("conv2d", plain), ("depthwise_conv2d", depthwise)):
        yield from ((f"{layer}_{i}" if i else layer, path) for i, path in enumerate(paths))
    yield "segment", "decoder.segment"
