"""The Linen layers that encoders, decoders and models are made of."""

from segjax.layers.conv import Conv, ConvBlock, batch_norm
from segjax.layers.inputs import Normalized, Standardized
from segjax.layers.stage import in_sequence, normalized_conv

__all__ = ["Conv", "ConvBlock", "Normalized", "Standardized", "batch_norm", "in_sequence", "normalized_conv"]
