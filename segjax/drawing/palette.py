"""The colours of classes, and masks painted with them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt, UInt8

Colour = tuple[int, int, int]
"""Red, green and blue in 0..255."""
Palette = Sequence[Colour]
"""The colour of every class."""
IGNORED: Colour = (120, 120, 120)


NOTHING: Colour = (40, 40, 40)
"""Where no label of a mask (h w k) is."""
_STRIPE = 3
"""Pixels of a stripe, along the rows."""


def paint(
    mask: UInt[np.ndarray, "h w *k"], palette: Palette, *, ignored: Colour = IGNORED
) -> UInt8[np.ndarray, "h w 3"]:
    """A mask in the colours of its classes, `ignored` where a value has none, as 255 does (of 16 bits 65535).

    Of labels that may overlap, (h w k), a pixel with several is in stripes of their colours, and ignored where it is so
    for all.

    Examples:
        >>> drawing.paint(np.array([[0, 1, 255]], np.uint8), ((0, 0, 0), (0, 255, 0))).tolist()
        [[[0, 0, 0], [0, 255, 0], [120, 120, 120]]]
    """
    if mask.ndim == 3:
        return _striped(mask, palette, ignored)
    table = np.full((np.iinfo(mask.dtype).max + 1, 3), ignored, np.uint8)
    table[: len(palette)] = palette
    return table[mask]


def _striped(mask: UInt8[np.ndarray, "h w k"], palette: Palette, ignored: Colour) -> UInt8[np.ndarray, "h w 3"]:
    height, width, _ = mask.shape
    painted = np.full((height, width, 3), NOTHING, np.uint8)
    painted[(mask == 255).all(axis=2)] = ignored
    has = mask == 1
    count = np.maximum(has.sum(axis=2), 1)
    turn = (np.add.outer(np.arange(height), np.arange(width)) // _STRIPE) % count
    number = np.zeros((height, width), int)  # of the labels up to now
    for label, colour in enumerate(palette):
        painted[has[..., label] & (number == turn)] = colour
        number += has[..., label]
    return painted


def hexadecimal(colour: Colour) -> str:
    """A colour as matplotlib and HTML write it, such as #e69f00.

    Examples:
        >>> drawing.hexadecimal((0, 255, 16))
        '#00ff10'
    """
    return "#{:02x}{:02x}{:02x}".format(*colour)
