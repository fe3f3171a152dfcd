"""Losses: pure functions of logits (n h w k) and an integer mask (n h w), in which `ignore` and below 0 do not count.

They take logits of any float type, compute in float32 or wider, and never make a one-hot array of the mask.
"""

from segjax.losses.boundary import boundary_loss, signed_distance
from segjax.losses.lovasz import lovasz_softmax
from segjax.losses.pieces import upsampled_cross_entropy, upsampled_sums
from segjax.losses.pixelwise import cross_entropy, cross_entropy_sums, focal, focal_sums, ohem_cross_entropy
from segjax.losses.region import dice, focal_tversky, jaccard, tversky
from segjax.losses.weighted_sum import Loss, weighted_sum

__all__ = [
    "Loss",
    "boundary_loss",
    "cross_entropy",
    "cross_entropy_sums",
    "dice",
    "focal",
    "focal_sums",
    "focal_tversky",
    "jaccard",
    "lovasz_softmax",
    "ohem_cross_entropy",
    "signed_distance",
    "tversky",
    "upsampled_cross_entropy",
    "upsampled_sums",
    "weighted_sum",
]
