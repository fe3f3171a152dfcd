"""Encoders: an image in, one `Level` per resolution out, finest first."""

from segjax.encoders.conv import ConvEncoder, vgg16_stages
from segjax.upsampling import Level

__all__ = ["ConvEncoder", "Level", "vgg16_stages"]
