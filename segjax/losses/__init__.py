"""Losses: pure functions of logits (n h w k) and an integer mask (n h w) in which 255 is ignored."""

from segjax.losses.pixelwise import cross_entropy, cross_entropy_sums

__all__ = ["cross_entropy", "cross_entropy_sums"]
