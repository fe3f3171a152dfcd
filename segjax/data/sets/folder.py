"""Your own pictures: a folder of images and masks as a data set, and what training wants to know about it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from segjax.data.augment import Augment
from segjax.data.check.mask_report import Report
from segjax.data.check.masks import check_masks, size_sentence
from segjax.data.formats.classes import ClassList, Colour
from segjax.data.formats.images import read_image, read_mask, shown
from segjax.data.formats.layouts import Pair
from segjax.data.formats.splits import write_lists
from segjax.data.record import IGNORE, Dataset, Record
from segjax.data.statistics import Statistics
from segjax.errors import DataError

_MOST_WEIGHT = 10.0


@dataclass(frozen=True)
class FolderDefaults:
    """What is worked out from a folder before training: plain numbers and names, which a run can keep."""

    class_names: tuple[str, ...]
    palette: tuple[Colour, ...]
    crop: int
    """Height and width of training crops: the median shorter side, down to a multiple of 32 in 32 to 256."""
    mean: tuple[float, ...]
    """Of every channel of all training pictures, in 0..1."""
    std: tuple[float, ...]
    class_weights: tuple[float, ...]
    """By median frequency (Eigen and Fergus, 2015), at most 10; 1 for a class that no training mask has."""
    notes: tuple[str, ...]
    """What was guessed about the folder, to be said aloud."""

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "FolderDefaults":
        """Make it again of what `dataclasses.asdict` gave, after JSON turned its tuples into lists."""

        def frozen(value: Any) -> Any:
            return tuple(frozen(part) for part in value) if isinstance(value, list) else value

        return cls(**{name: frozen(value) for name, value in kept.items()})


def folder(root: str | os.PathLike[str], defaults: FolderDefaults | None = None) -> Dataset:
    """Make a data set of a folder with images/ and masks/, or in any other of `segjax.data.formats.layouts.LAYOUTS`.

    Every file is checked first, once in a process. A split that nothing in the folder decides is written to
    splits/train.txt and splits/test.txt there, where that is allowed.

    Args:
        root: the folder.
        defaults: what `folder_defaults` found before; with it nothing is read until the data set is opened.

    Raises:
        DataError: here (without `defaults`) or on opening, with the errors that `check` finds.
    """
    known = defaults or folder_defaults(root)

    def open_split(split: str) -> FolderSource:
        if split not in ("train", "test"):
            raise ValueError(f"{shown(root)} has the splits train and test, not {split!r}.")
        report = _checked(root)
        if report.classes.names != known.class_names:
            raise DataError(
                f"{report.root} has the classes {', '.join(report.classes.names)} where {', '.join(known.class_names)} "
                "were expected: give it a classes.txt with these."
            )
        if report.splits.by_hash:
            write_lists(Path(root), report.splits)
        pairs = report.splits.train if split == "train" else report.splits.test
        return FolderSource(pairs, report.classes, report.levels)

    return Dataset(
        Path(root).resolve().name,
        known.class_names,
        known.palette,
        open_split,
        statistics=Statistics(known.mean, known.std),
        augment=Augment(
            crop=(known.crop, known.crop),
            flip_horizontal=True,
            scale=(0.75, 1.5),
            rotate=10,
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
        ),
    )


class FolderSource:
    """Pairs of files, read when they are asked for."""

    def __init__(self, pairs: tuple[Pair, ...], classes: ClassList, levels: UInt8[np.ndarray, " 256"] | None):
        """Take pairs that `check` has read, with what it found masks to mean."""
        self.pairs, self.classes, self.levels = pairs, classes, levels

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Record:
        """Read one pair; raises DataError where a file is no longer what it was when it was checked."""
        pair = self.pairs[index]
        image = read_image(pair.image)
        mask = read_mask(pair.mask, colours=self.classes.colours, levels=self.levels)
        if image.shape[:2] != mask.shape:
            raise DataError(size_sentence(pair, image.shape, mask.shape))
        if ((mask >= len(self.classes.names)) & (mask != IGNORE)).any():
            raise DataError(f"{shown(pair.mask)} has labels that it did not have when it was checked: check again.")
        return {"image": image, "mask": mask}


def folder_defaults(root: str | os.PathLike[str]) -> FolderDefaults:
    """Work out classes, crop size, normalisation and class weights from the pictures and masks that train.

    Raises:
        DataError: the folder has errors.
    """
    report = _checked(root)
    train = report.train
    sizes = np.array([one.size for one in train])
    crop = int(np.median(sizes.min(axis=1))) // 32 * 32
    pixels = sizes.prod(axis=1)
    mean = np.average([one.mean for one in train], axis=0, weights=pixels)
    square = np.average([one.std**2 + one.mean**2 for one in train], axis=0, weights=pixels)
    std = np.sqrt(square - mean**2)
    counts = np.array([one.counts[: len(report.classes.names)] for one in train])
    seen = counts.sum(axis=0)
    # The pixels of all pictures that have the class at all: a class is not rare for being in few pictures.
    around = (counts.sum(axis=1, keepdims=True) * (counts > 0)).sum(axis=0)
    frequency = seen[seen > 0] / around[seen > 0]
    weights = np.ones(len(seen))
    weights[seen > 0] = np.minimum(np.median(frequency) / frequency, _MOST_WEIGHT)
    return FolderDefaults(
        class_names=report.classes.names,
        palette=report.classes.palette,
        crop=min(max(crop, 32), 256),
        mean=tuple(mean.tolist()),
        std=tuple(np.maximum(std, 1 / 255).tolist()),
        class_weights=tuple(weights.tolist()),
        notes=report.notes,
    )


_clean: dict[str, Report] = {}


def _checked(root: str | os.PathLike[str]) -> Report:
    """Check once in a process, or again after errors: they may have been mended."""
    key = os.path.realpath(root)
    if key not in _clean:
        report = check_masks(root)
        report.refuse()
        _clean[key] = report
    return _clean[key]
