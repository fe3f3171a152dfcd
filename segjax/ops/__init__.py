"""Pooling, unpooling and upsampling as pure functions over NHWC arrays, and boxes; needs jax and numpy alone."""

from segjax.ops import boxes
from segjax.ops.augment import Augmented, augment
from segjax.ops.avg_pool import adaptive_avg_pool, avg_pool
from segjax.ops.carafe import carafe
from segjax.ops.conv import conv
from segjax.ops.conv_transpose import conv_transpose
from segjax.ops.dysample import dysample
from segjax.ops.grid_sample import grid_sample
from segjax.ops.heatmaps import CenterTargets, center_targets, gaussian_radius
from segjax.ops.peaks import Peaks, boxes_at_peaks, find_peaks, soft_argmax, values_at_peaks
from segjax.ops.pool import max_pool_with_argmax
from segjax.ops.pool_indices import PoolIndices
from segjax.ops.resize import resize
from segjax.ops.resize_conv import resize_conv
from segjax.ops.semi_shift_conv import semi_shift_conv
from segjax.ops.shuffle import pixel_shuffle, pixel_unshuffle
from segjax.ops.unpool import max_unpool
from segjax.ops.warp import warp, warp_boxes
from segjax.ops.window_similarity import window_similarity

__all__ = [
    "Augmented",
    "CenterTargets",
    "Peaks",
    "PoolIndices",
    "adaptive_avg_pool",
    "augment",
    "avg_pool",
    "boxes",
    "boxes_at_peaks",
    "carafe",
    "center_targets",
    "conv",
    "conv_transpose",
    "dysample",
    "find_peaks",
    "gaussian_radius",
    "grid_sample",
    "max_pool_with_argmax",
    "max_unpool",
    "pixel_shuffle",
    "pixel_unshuffle",
    "resize",
    "resize_conv",
    "semi_shift_conv",
    "soft_argmax",
    "values_at_peaks",
    "warp",
    "warp_boxes",
    "window_similarity",
]
