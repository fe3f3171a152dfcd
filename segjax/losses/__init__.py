"""Losses: pure functions of logits (n h w k) and an integer mask (n h w), in which `ignore` and below 0 do not count.

Without it that is 255 or, where there are more than 255 classes, 65535.

What is named after the sigmoid, `binary_cross_entropy` and `lovasz_hinge` take a mask (n h w k) instead, yes or no for
labels that may overlap, or one logit and a mask (n h w) of two classes; all others of masks go by the softmax.

They take logits of any float type, compute in float32 or wider, and never make a one-hot array of the mask. Those of
boxes, heatmaps and attributes take what they say.
"""

from segjax.losses.attributes import attribute_cross_entropy
from segjax.losses.boundary import boundary_loss, signed_distance
from segjax.losses.boxes import ciou_loss, diou_loss, giou_loss, l1_loss, smooth_l1_loss
from segjax.losses.deep_supervision import deep_supervision
from segjax.losses.heatmap import heatmap_focal
from segjax.losses.lovasz import lovasz_hinge, lovasz_softmax
from segjax.losses.objects import center_loss, localization_loss
from segjax.losses.pixelwise import cross_entropy, cross_entropy_sums, focal, focal_sums, ohem_cross_entropy
from segjax.losses.region import dice, focal_tversky, jaccard, tversky
from segjax.losses.sigmoid import (
    binary_cross_entropy,
    sigmoid_boundary,
    sigmoid_dice,
    sigmoid_focal,
    sigmoid_jaccard,
    sigmoid_tversky,
)
from segjax.losses.uncertainty import uncertainty_weighted_sum
from segjax.losses.upsampled import upsampled_cross_entropy, upsampled_sums
from segjax.losses.weighted_sum import Loss, weighted_sum

__all__ = [
    "Loss",
    "attribute_cross_entropy",
    "binary_cross_entropy",
    "boundary_loss",
    "center_loss",
    "ciou_loss",
    "cross_entropy",
    "cross_entropy_sums",
    "deep_supervision",
    "dice",
    "diou_loss",
    "focal",
    "focal_sums",
    "focal_tversky",
    "giou_loss",
    "heatmap_focal",
    "jaccard",
    "l1_loss",
    "localization_loss",
    "lovasz_hinge",
    "lovasz_softmax",
    "ohem_cross_entropy",
    "sigmoid_boundary",
    "sigmoid_dice",
    "sigmoid_focal",
    "sigmoid_jaccard",
    "sigmoid_tversky",
    "signed_distance",
    "smooth_l1_loss",
    "tversky",
    "uncertainty_weighted_sum",
    "upsampled_cross_entropy",
    "upsampled_sums",
    "weighted_sum",
]
