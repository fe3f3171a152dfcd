"""How an image is cut into tiles and seen in several views: where they lie, and how much each counts at every pixel."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from segjax.errors import InferenceError

ALIGNMENT = 64
"""Tiles start at multiples of this many pixels, so that a model that halves the image up to six times pools the same
pixels together in a tile as in the whole image."""
SMALLEST = 192
"""The smallest tile, in pixels: any smaller one would be mostly margin."""

TILE = 1024
"""The tile that larger images get where nobody names one, in pixels."""
WHOLE = 2 * TILE**2
"""Images of up to this many pixels go through the model whole where nobody names a tile."""


@dataclass(frozen=True)
class Tiling:
    """How a large image is cut into overlapping tiles, and over which views of each its probabilities are averaged.

    Raises:
        InferenceError: a tile that is too small, a margin below 0, or an unknown augmentation.

    Examples:
        >>> inference.Tiling(tile=512, tta=("hflip", 0.75)).tile
        512
    """

    tile: int | None = None
    """The side of a tile in pixels, at least 192, rounded down to a multiple of 64. None is 1024 for images of more
    than two megapixels (2 * 1024**2), and the whole image at once for others."""
    margin: int | None = None
    """How much of a tile is thrown away along its edges inside the image, in pixels. None is the model's
    `receptive_radius`, measured once per model, but a quarter of the tile at most."""
    tta: Sequence[str | float] = ()
    """Test-time augmentation: `"hflip"` (left and right change places), `"vflip"` (top and bottom), and scales such as
    0.75. Probabilities are averaged over every combination of flipped or not with the scales and 1: `("hflip", 0.75,
    1.25)` is six passes. Each tile is flipped and scaled by itself, so that tiles agree with a whole pass only
    nearly."""

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < SMALLEST:
            raise InferenceError(f"tile is {self.tile}, but a tile has at least {SMALLEST} pixels a side.")
        if self.margin is not None and self.margin < 0:
            raise InferenceError(f"margin is {self.margin}, but a margin has at least 0 pixels.")
        self.views()

    def side(self, height: int, width: int) -> int:
        """The side of the tiles of an image of that size; no less than the image's where one tile holds it whole."""
        longer = max(height, width)
        tile = self.tile
        if tile is None:
            tile = TILE if height * width > WHOLE else max(longer, SMALLEST)
        return tile - tile % ALIGNMENT if longer > tile else tile

    def views(self) -> list["View"]:
        """Every combination of flips and scales, each once.

        Raises:
            InferenceError: `tta` has something else, or a scale out of its range.
        """
        flips: dict[str, int] = {}
        scales = [1.0]
        for entry in self.tta:
            if entry in ("hflip", "vflip"):
                flips[str(entry)] = 1 if entry == "hflip" else 0
                continue
            try:
                scale = float(entry)
            except ValueError:
                scale = math.nan
            if not 0.1 <= scale <= 10:
                raise InferenceError(f"tta has {entry!r}; it takes hflip, vflip, and scales from 0.1 to 10.")
            scales.append(scale)
        axes = itertools.product(*(((), (axis,)) for axis in flips.values()))
        return [View(scale, sum(chosen, ())) for chosen, scale in itertools.product(axes, dict.fromkeys(scales))]


class View(NamedTuple):
    """One way to look at a tile."""

    scale: float
    flips: tuple[int, ...]
    """The axes that are turned round: 0 for rows, 1 for columns."""


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
    the image's own edges it stays one. An axis no longer than `tile` is one tile.

    Raises:
        InferenceError: the margins leave too little of a tile.
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
