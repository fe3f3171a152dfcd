"""Encoders: an image in, one `Level` per resolution out, finest first."""

from segjax.encoders.level import Level

__all__ = ["Level"]
