"""The colours of classes, and masks painted with them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

Colour = tuple[int, int, int]
"""Red, green and blue in 0..255."""
Palette = Sequence[Colour]
"""The colour of every class."""
IGNORED: Colour = (120, 120, 120)


def paint(mask: UInt8[np.ndarray, "h w"], palette: Palette, *, ignored: Colour = IGNORED) -> UInt8[np.ndarray, "h w 3"]:
    """A mask in the colours of its classes, `ignored` where a value has none, as 255 does."""
    table = np.full((256, 3), ignored, np.uint8)
    table[: len(palette)] = palette
    return table[mask]


def hexadecimal(colour: Colour) -> str:
    """A colour as matplotlib and HTML write it, such as #e69f00."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
