"""HED: edges of an image, from what every stage of VGG-16 sees of them."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from segjax.encoders import vgg16
from segjax.layers import Conv, Normalized
from segjax.level import Level
from segjax.models import saved
from segjax.models.card import About
from segjax.models.segmenter import Segmenter
from segjax.upsampling import Bilinear
from segjax.weights import named
from segjax.weights.convert import Names, from_torch

_RECORD = "vgg16.hed"
_NAMES: Names = (
    *((rf"^conv2d{f'_{i}' if i else ''}\.", f"decoder.side{i + 1}.") for i in range(5)),
    (r"^conv2d_5\.", "head."),
)
"""Keras's of the side outputs and their fusion, to a `Segmenter`'s."""


class SideOutputs(nn.Module):
    """One map of every level, brought to the finest: a decoder whose head weighs them (Xie and Tu 2015)."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """One level, of as many channels as the encoder has levels."""
        to = levels[0]
        maps = []
        for i, level in enumerate(levels, start=1):
            assert level.features is not None
            side = Conv(1, 1, dtype=level.features.dtype, name=f"side{i}")(level.features)
            maps.append(Bilinear(factor=level.stride // to.stride, name=f"up{i}")(side, to))
        return (to.holding(jnp.concatenate(maps, axis=-1)),)


def hed() -> Normalized:
    """Holistically-nested edge detection (Xie and Tu 2015, arXiv:1504.06375), which takes uint8 images as they are.

    One logit for every pixel, of its being on an edge. 14,716,171 parameters.

    Examples:
        >>> type(models.hed().model).__name__
        'Segmenter'
    """
    return Normalized(Segmenter(1, vgg16(depth=4), SideOutputs()), **named(_RECORD).statistics)


def open_hed() -> tuple[Normalized, dict[str, Any], About]:
    """`hed` with the published weights, trained on the edges of BSDS500; they are of Keras, and need h5py.

    Raises:
        DataError: they cannot be fetched or read.
    """
    model, record = hed(), named(_RECORD)
    state = record.read()
    first = "block1_conv1.weight"
    names = (*((there, f"encoder.{here}") for there, here in record.names), *_NAMES)
    # The file's images have blue first.
    brought = from_torch(
        state | {first: state[first][:, ::-1]}, {"params": saved.shapes(model, 3)["params"]["model"]}, names=names
    )
    return model, {"params": {"model": brought["params"]}}, About(licence=record.licence, trained_on="BSDS500")
