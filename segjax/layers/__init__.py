"""The Linen layers that encoders, decoders and models are made of."""

from segjax.layers.channel_gate import ChannelGate
from segjax.layers.conv import Conv, ConvBlock
from segjax.layers.drawn import drawn
from segjax.layers.drop_path import DropPath, drop_path_rates
from segjax.layers.frozen import Frozen, belongs_to, parts_of_encoder, with_frozen_encoder
from segjax.layers.inputs import Normalized, Standardized, inputs_of, with_inputs
from segjax.layers.largest import largest
from segjax.layers.norm import BatchNorm, batch_norm, group_norm, instance_norm
from segjax.layers.pad_up import pad_up
from segjax.layers.sc_se import ScSE
from segjax.layers.stage import in_sequence, normalized_conv

__all__ = [
    "BatchNorm",
    "ChannelGate",
    "Conv",
    "ConvBlock",
    "DropPath",
    "Frozen",
    "Normalized",
    "ScSE",
    "Standardized",
    "batch_norm",
    "belongs_to",
    "drawn",
    "drop_path_rates",
    "group_norm",
    "in_sequence",
    "inputs_of",
    "instance_norm",
    "largest",
    "normalized_conv",
    "pad_up",
    "parts_of_encoder",
    "with_frozen_encoder",
    "with_inputs",
]
