"""Decoders: an encoder's levels in, what heads read out, finest first; any of them takes any encoder and upsampler."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from segjax.decoders.deconvnet import FullyConnected
from segjax.decoders.fcn import FCNDecoder
from segjax.decoders.unet import UNetDecoder
from segjax.level import Decoder
from segjax.upsampling import ConvTranspose, MaxUnpool

BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "unet": UNetDecoder,
    "fcn": partial(UNetDecoder, skips=False, upsample=partial(ConvTranspose, overlap=1)),
    "segnet": partial(UNetDecoder, skips=False, upsample=MaxUnpool),
}
"""By name, each called as `decoder(upsample=..., block=...)`."""

__all__ = ["BY_NAME", "Decoder", "FCNDecoder", "FullyConnected", "UNetDecoder"]
