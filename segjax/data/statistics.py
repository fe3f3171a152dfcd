"""What training wants to know of images: normalisation."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statistics:
    """What `segjax.layers.Normalized` takes."""

    mean: tuple[float, ...]
    """Of every channel of the images in 0..1, after gamma."""
    std: tuple[float, ...]
    gamma: float = 1.0
    """Exponent that the images are brightened by first: below 1 for dark ones."""
