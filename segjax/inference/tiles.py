"""Where tiles lie along one axis of an image, and how much each of them counts at every pixel."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from segjax.errors import InferenceError

ALIGNMENT = 64
"""Tiles start at multiples of this many pixels, so that a model that halves the image up to six times pools the same
pixels together in a tile as in the whole image."""
SMALLEST = 192
"""The smallest tile, in pixels: any smaller one would be mostly margin."""


class Span(NamedTuple):
    """One tile along one axis."""

    start: int
    stop: int
    """The model sees the pixels from `start` up to `stop`."""
    first: int
    """The first pixel that the tile has a say in."""
    weights: Float[np.ndarray, " pixels"]
    """Its say from there on; at every pixel the weights of all tiles add up to one."""


def spans(length: int, tile: int, margin: int) -> list[Span]:
    """Cut an axis of `length` pixels into overlapping tiles of at most `tile` pixels, a multiple of 64.

    Tiles are no larger than covering the axis with that many of them takes. All have one size but the last: it starts
    on the same grid as the others and ends where the image ends, as a whole pass does. `margin` pixels along every edge
    inside the image count for nothing; next to them the weight rises as a raised cosine over a sixteenth of `tile`. At
    the image's own edges it stays one. An axis no longer than `tile` is one tile. Raises `InferenceError` where the
    margins leave too little of a tile.
    """
    if length <= tile:
        return [Span(0, length, 0, np.ones(length, np.float32))]
    blend = tile // 16
    overlap = _aligned(2 * margin + blend)
    if tile < SMALLEST or tile <= overlap:
        raise InferenceError(
            f"tiles of {tile} pixels are too small for a margin of {margin}: take at least "
            f"{max(SMALLEST, _aligned((2 * margin + ALIGNMENT) * 16 / 15))}, or a smaller margin."
        )
    count = math.ceil((length - overlap) / (tile - overlap))
    tile = _aligned((length + (count - 1) * overlap) / count)
    last = _aligned(length - tile)
    starts = [*range(0, last, tile - overlap), last]
    parts = []
    total = np.zeros(length)
    for start in starts:
        stop = min(start + tile, length)
        first, end = (start + margin if start else 0), (stop - margin if stop < length else length)
        pixel = np.arange(first, end) + 0.5
        say = np.ones(end - first)
        if start:
            say *= _raised_cosine((pixel - first) / blend)
        if stop < length:
            say *= _raised_cosine((end - pixel) / blend)
        total[first:end] += say
        parts.append((start, stop, first, say))
    return [
        Span(start, stop, first, (say / total[first : first + len(say)]).astype(np.float32))
        for start, stop, first, say in parts
    ]


def _aligned(pixels: float) -> int:
    return math.ceil(pixels / ALIGNMENT) * ALIGNMENT


def _raised_cosine(distance: Float[np.ndarray, " pixels"]) -> Float[np.ndarray, " pixels"]:
    return np.sin(np.pi / 2 * np.minimum(distance, 1)) ** 2
