"""The Linen layers that encoders, decoders and models are made of."""

from segjax.layers.conv import Conv, ConvBlock, batch_norm
from segjax.layers.frozen import Frozen, with_frozen_encoder
from segjax.layers.inputs import Normalized, Standardized

__all__ = ["Conv", "ConvBlock", "Frozen", "Normalized", "Standardized", "batch_norm", "with_frozen_encoder"]
