"""Pooling, unpooling and upsampling as pure functions over NHWC arrays; needs jax and numpy alone."""

from segjax.ops.conv_transpose import conv_transpose
from segjax.ops.pool import max_pool_with_argmax
from segjax.ops.pool_indices import PoolIndices
from segjax.ops.resize import resize
from segjax.ops.resize_conv import resize_conv
from segjax.ops.shuffle import pixel_shuffle, pixel_unshuffle
from segjax.ops.unpool import max_unpool

__all__ = [
    "PoolIndices",
    "conv_transpose",
    "max_pool_with_argmax",
    "max_unpool",
    "pixel_shuffle",
    "pixel_unshuffle",
    "resize",
    "resize_conv",
]
