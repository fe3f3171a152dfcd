"""What an encoder hands to a decoder."""

from typing import NamedTuple

from jaxtyping import Array, Float

from segjax.ops import PoolIndices


class Level(NamedTuple):
    """What an encoder leaves for a decoder at one resolution.

    An encoder returns `tuple[Level, ...]`, finest first. The last one is the deepest: it was not pooled, so its
    `argmax` is None.
    """

    features: Float[Array, "n h w c"]
    """The features before the pooling that made the next level."""
    argmax: PoolIndices | None
    """Where that pooling found its maxima; None where the encoder strides instead, and at the deepest level."""
