"""Pooling, unpooling and upsampling as pure functions over NHWC arrays; needs jax and numpy alone."""

from segjax.ops.conv_transpose import conv_transpose
from segjax.ops.resize_conv import resize_conv

__all__ = [
    "conv_transpose",
    "resize_conv",
]
