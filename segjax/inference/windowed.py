"""An image larger than memory, as whoever predicts by tiles sees it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Num, UInt8

from segjax.data.formats.bands import Bands
from segjax.data.formats.rasters import Raster
from segjax.data.formats.scenes import TILE, Scene, Window
from segjax.drawing import brightened

LONGEST = 2048
"""The longer side, in pixels, of an image that is drawn of it."""


@dataclass(frozen=True)
class Windowed:
    """An image (h, w, c) of which `image[rows, columns]` is read when it is asked for."""

    scene: Scene
    name: str
    """What sentences call it."""
    bands: Bands | None

    @property
    def ndim(self) -> int:
        """Height, width and bands."""
        return 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and the bands that are read."""
        return *self.scene.shape[:2], self._corner.pixels.shape[2]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """The type of its numbers."""
        return self._corner.pixels.dtype

    @property
    def step(self) -> int:
        """Of how many rows and columns one is drawn."""
        return max(1, math.ceil(max(self.scene.shape[:2]) / LONGEST))

    def __getitem__(self, window: Window) -> Num[np.ndarray, "h w c"]:
        """The pixels of a window."""
        return self._read(window).pixels

    def missing(self, row: int, count: int) -> Bool[np.ndarray, "rows w"]:
        """Where some rows have no data."""
        width = self.scene.shape[1]
        parts = [
            self._read((slice(row, row + count), slice(left, min(left + TILE, width))))
            for left in range(0, width, TILE)
        ]
        nothing = (np.zeros(part.pixels.shape[:2], bool) if part.missing is None else part.missing for part in parts)
        return np.concatenate(list(nothing), axis=1)

    def small(self) -> UInt8[np.ndarray, "h w 3"]:
        """Every `step`-th pixel, as people look at it."""
        height, width, step = *self.scene.shape[:2], self.step
        side = max(1, TILE // step) * step
        rows = [
            np.concatenate([self[y : y + side, x : x + side][::step, ::step] for x in range(0, width, side)], axis=1)
            for y in range(0, height, side)
        ]
        pixels = np.concatenate(rows)
        return brightened(pixels) if self.bands is None else self.bands.shown(pixels)

    @property
    def _corner(self) -> Raster:
        return self._read((slice(0, 1), slice(0, 1)))

    def _read(self, window: Window) -> Raster:
        rows, columns = (
            slice(part.start, min(part.stop, side)) for part, side in zip(window, self.scene.shape, strict=False)
        )
        found = self.scene.read((rows, columns)).bands(None if self.bands is None else self.bands.chosen, self.name)
        if self.bands is not None:
            self.bands.refuse_others(found.pixels, self.name)
        return found
