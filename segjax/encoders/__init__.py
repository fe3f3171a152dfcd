"""Encoders: an image in, one `Level` per resolution out, finest first."""

from segjax.encoders.conv import ConvEncoder, vgg16_stages
from segjax.level import Encoder, Level

__all__ = ["ConvEncoder", "Encoder", "Level", "vgg16_stages"]
