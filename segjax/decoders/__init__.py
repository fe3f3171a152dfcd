"""Decoders: an encoder's levels in, what heads read out, finest first; any of them takes any encoder and upsampler."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn

from segjax import upsampling
from segjax.decoders.deconvnet import FullyConnected
from segjax.decoders.deeplab import ASPP, DeepLabV3Decoder, DeepLabV3PlusDecoder
from segjax.decoders.dpt import DPTDecoder
from segjax.decoders.fcn import FCNDecoder
from segjax.decoders.fpn import FPNDecoder
from segjax.decoders.linknet import LinkNetDecoder
from segjax.decoders.lraspp import LRASPPDecoder, PlainDecoder
from segjax.decoders.manet import MANetDecoder, PositionAttention
from segjax.decoders.pan import PANDecoder, PyramidAttention
from segjax.decoders.pspnet import PSPNetDecoder, PyramidPooling
from segjax.decoders.segformer import SegFormerDecoder
from segjax.decoders.unet import UNetDecoder
from segjax.decoders.unetplusplus import UNetPlusPlusDecoder
from segjax.decoders.upernet import UPerNetDecoder
from segjax.errors import made_by_name
from segjax.level import Decoder
from segjax.upsampling import ConvTranspose, MaxUnpool

BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "unet": UNetDecoder,
    "fcn": partial(UNetDecoder, skips=False, upsample=partial(ConvTranspose, overlap=1)),
    "segnet": partial(UNetDecoder, skips=False, upsample=MaxUnpool),
    "unetplusplus": UNetPlusPlusDecoder,
    "manet": MANetDecoder,
    "linknet": LinkNetDecoder,
    "fpn": FPNDecoder,
    "pspnet": PSPNetDecoder,
    "deeplabv3": DeepLabV3Decoder,
    "deeplabv3plus": DeepLabV3PlusDecoder,
    "pan": PANDecoder,
    "upernet": UPerNetDecoder,
    "segformer": SegFormerDecoder,
    "dpt": DPTDecoder,
    "lraspp": LRASPPDecoder,
    "plain": PlainDecoder,
}
"""By name, each called as `decoder(upsample=..., block=..., finest_stride=...)`."""


def named(decoder: str | nn.Module, **settings: Any) -> nn.Module:
    """The decoder of that name, made with these settings; one that is made already stays as it is.

    Its `upsample` may be a name, too.

    Raises:
        ExperimentError: there is none of that name, or it has no such field; it offers the nearest.

    Examples:
        >>> decoder = decoders.named("fpn", upsample="dysample")
        >>> type(decoder).__name__, decoder.upsample.__name__
        ('FPNDecoder', 'DySample')
    """
    if not isinstance(decoder, str):
        return decoder
    if "upsample" in settings:
        settings["upsample"] = upsampling.named(settings["upsample"])
    return made_by_name(decoder, BY_NAME, "decoder", **settings)


__all__ = [
    "ASPP",
    "BY_NAME",
    "DPTDecoder",
    "Decoder",
    "DeepLabV3Decoder",
    "DeepLabV3PlusDecoder",
    "FCNDecoder",
    "FPNDecoder",
    "FullyConnected",
    "LRASPPDecoder",
    "LinkNetDecoder",
    "MANetDecoder",
    "PANDecoder",
    "PSPNetDecoder",
    "PlainDecoder",
    "PositionAttention",
    "PyramidAttention",
    "PyramidPooling",
    "SegFormerDecoder",
    "UNetDecoder",
    "UNetPlusPlusDecoder",
    "UPerNetDecoder",
    "named",
]
