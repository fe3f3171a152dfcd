"""Your own images: a folder of images and masks as a data set, and what training wants to know about it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int32, UInt

from segjax.data.augment import Augment
from segjax.data.check.mask_report import Report
from segjax.data.check.masks import check_masks, size_sentence
from segjax.data.dataset import Dataset
from segjax.data.formats.bands import NAMES_FILE, Bands, choose, read_names
from segjax.data.formats.classes import ClassList, Colour
from segjax.data.formats.held_out import say_once
from segjax.data.formats.images import read_jpeg, shown
from segjax.data.formats.kept_classes import kept_classes
from segjax.data.formats.label_bands import read_truth
from segjax.data.formats.layouts import CLASS_LISTS, ImageAndMask, find
from segjax.data.formats.once import read_once
from segjax.data.formats.scenes import Window, open_scene, windows
from segjax.data.formats.splits import split as split_images
from segjax.data.formats.splits import write_lists
from segjax.data.record import Record, refuse_unknown_split
from segjax.data.statistics import Statistics, median_frequency_weights, pooled, positive_weights, training_crop
from segjax.errors import DataError
from segjax.mask_numbers import ignored, ignored_in, mask_type
from segjax.strict_json import frozen


@dataclass(frozen=True)
class FolderDefaults:
    """What is worked out from a folder before training: plain numbers and names, which a run can keep."""

    class_names: tuple[str, ...]
    palette: tuple[Colour, ...]
    crop: int
    """Height and width of training crops: the median shorter side, down to a multiple of 32 in 32 to 256."""
    mean: tuple[float, ...]
    """Of every band of all training images, in the stored numbers over `WHITE` of their depth."""
    std: tuple[float, ...]
    class_weights: tuple[float, ...]
    """By median frequency (Eigen and Fergus, 2015), at most 10; 1 for a class that no training mask has. Of labels that
    may overlap, how many pixels are without for each with it, at most 10."""
    notes: tuple[str, ...]
    """What was guessed about the folder, to be said aloud."""
    bands: Bands = field(default_factory=Bands)
    """What its images are read as."""
    multilabel: bool = False
    """Whether its classes are labels that may overlap."""
    kept: tuple[str, ...] = ()
    """What `kept_classes` says of the classes that the masks have; all are kept where it is empty."""
    fold: int | None = None
    """Which of the folds in splits/, where it is one."""

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "FolderDefaults":
        """Make it again of what `dataclasses.asdict` gave, after JSON turned its tuples into lists."""
        plain = frozen(kept)
        return cls(**plain | {"bands": Bands(**plain.get("bands", {}))})


def folder(root: str | os.PathLike[str], defaults: FolderDefaults | None = None) -> Dataset:
    """Make a data set of a folder with images/ and masks/, or in any other of `segjax.data.formats.layouts.LAYOUTS`.

    Every file is checked first, and again when files have changed. Splits that nothing in the folder decides are
    written to train.txt, val.txt and test.txt in splits/ there, where that is allowed. A folder that says what trains
    and what tests, or trains and validates, gets its validation from what trains, as `segjax.data.formats.splits` says.

    Args:
        root: the folder.
        defaults: what `folder_defaults` found before; with it nothing is read until the data set is opened.

    Raises:
        DataError: here (without `defaults`) or on opening, with the errors that `check` finds.
    """
    known = defaults or folder_defaults(root)

    def open_split(split: str) -> FolderSource:
        refuse_unknown_split(shown(root), split)
        report = _checked(root, known.bands.chosen, known.fold)
        there = report.classes.names
        said = known.kept or (known.class_names if set(there) == set(known.class_names) else ())
        names, numbers = kept_classes(said, there, shown(root))  # the same classes may be in another order
        known.bands.refuse_others(np.empty((1, 1, report.bands.count), report.bands.depth), shown(root))
        if report.multilabel != known.multilabel or names != known.class_names:
            raise DataError(
                f"{report.root} has the classes {', '.join(report.classes.names)} where {', '.join(known.class_names)} "
                "were expected: give it a classes.txt with these."
            )
        if report.splits.by_hash:
            say_once(report.splits.note)
            write_lists(Path(root, "splits"), report.splits)
        pairs = getattr(report.splits, split)
        kept = numbers if known.kept or there != names else None
        return FolderSource(pairs, report.classes, report.levels, known.bands, kept, multilabel=known.multilabel)

    return Dataset(
        Path(root).resolve().name,
        known.class_names,
        known.palette,
        open_split,
        statistics=Statistics(known.mean, known.std, depth=known.bands.depth),
        bands=known.bands,
        multilabel=known.multilabel,
        augment=Augment(
            crop=(known.crop, known.crop),
            flip_horizontal=True,
            scale=(0.75, 1.5),
            rotate=10,
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
        ).of_depth(known.bands.depth),
    )


class FolderSource:
    """Pairs of files, read when they are asked for."""

    worth_keeping: ClassVar[bool] = True

    def __init__(
        self,
        pairs: tuple[ImageAndMask, ...],
        classes: ClassList,
        levels: UInt[np.ndarray, " n"] | None,
        bands: Bands = Bands(),
        kept: Int32[np.ndarray, " c"] | None = None,
        *,
        multilabel: bool = False,
    ):
        """Take pairs that `check` has read, with what it found masks to mean and images to be.

        `kept` has the number of every class among those that are kept, where they are others or in another order.
        """
        self._parts: list[tuple[ImageAndMask, Window | None]] = []
        for pair in pairs:
            scene = None if multilabel or bands.channels else open_scene(pair.image)
            self._parts += [(pair, None)] if scene is None else [(pair, window) for window in windows(scene.shape)]
        self.pairs: tuple[ImageAndMask, ...] = pairs
        self.classes: ClassList = classes
        self.levels: UInt[np.ndarray, " n"] | None = levels
        self.bands: Bands = bands
        self.multilabel: bool = multilabel
        self.kept: Int32[np.ndarray, " c"] | None = kept

    def __len__(self) -> int:
        """How many pairs there are, and windows of those that are read by windows."""
        return len(self._parts)

    def name_of(self, index: int) -> str:
        """The path of a pair below its folder, without the ending, and where the window begins, if it is one."""
        pair, window = self._parts[index]
        return pair.key if window is None else f"{pair.key}@{window[0].start},{window[1].start}"

    def stored_jpeg(self, index: int) -> bytes | None:
        """The file of an image, where it is a JPEG."""
        return read_jpeg(self._parts[index][0].image)

    def __getitem__(self, index: int) -> Record:
        """The record of one pair.

        Raises:
            DataError: a file is no longer what it was when it was checked.
        """
        pair, window = self._parts[index]
        image, _, missing, *_ = self.bands.read(pair.image, window=window)
        mask = read_truth(pair, self.classes, self.levels, multilabel=self.multilabel, window=window)
        count = 2 if self.multilabel else len(self.classes.names)
        if image.shape[:2] != mask.shape[:2]:
            raise DataError(size_sentence(pair, image.shape, mask.shape))
        if ((mask >= count) & (mask != ignored_in(mask))).any():
            raise DataError(f"{shown(pair.mask)} has labels that it did not have when it was checked: check again.")
        if self.kept is not None:
            mask = mask[..., np.argsort(self.kept)] if self.multilabel else _table(self.kept)[mask]
        if missing is not None:
            mask[missing] = ignored_in(mask)
        return {"image": image, "mask": mask}


def folder_defaults(
    root: str | os.PathLike[str],
    bands: Sequence[str] = (),
    classes: Sequence[str] = (),
    fold: int | None = None,
) -> FolderDefaults:
    """Work out classes, crop size, bands, normalisation and class weights from the images and masks that train.

    Args:
        root: the folder.
        bands: which bands of the images are read, by number from 1 or by the names of bands.txt; all without opacity
            where none is named, and grey as three equal ones.
        classes: the classes to keep, "water" or "green=grass+forest" for two as one, all others being ignored; by
            default all.
        fold: which of the folds that `segjax data split PATH --folds K` wrote.

    Raises:
        DataError: the folder has errors, or not such classes or folds.
    """
    report = _checked(root, choose(bands, read_names(Path(root)), shown(root)), fold)
    names, numbers = kept_classes(classes, report.classes.names, shown(root))
    if classes and report.multilabel:
        raise DataError(f"{shown(root)} has labels that may overlap, of which all are kept: leave --classes out.")
    if len(names) < 2 and not report.multilabel:
        raise DataError(f"Of {shown(root)} one class is kept, and all else is ignored: keep two or more.")
    train = report.train
    sizes = np.array([one.size for one in train])
    images = pooled(
        np.array([one.mean for one in train]),
        np.array([one.std for one in train]),
        np.maximum(sizes.prod(axis=1) - [one.missing for one in train], 1),
        report.bands.depth,
    )
    count, table = len(names), _table(numbers)
    _, first = np.unique(np.where(numbers < 0, len(numbers), numbers), return_index=True)
    return FolderDefaults(
        class_names=names,
        palette=tuple(report.classes.palette[place] for place in first[:count]),
        crop=training_crop(sizes),
        mean=images.mean,
        std=images.std,
        class_weights=positive_weights(sum((one.counts.dense(2) for one in train), np.zeros((count, 2), int)))
        if report.multilabel
        else median_frequency_weights(one.counts.renumbered(table[one.counts.numbers]).dense(count) for one in train),
        notes=report.notes,
        bands=report.bands,
        multilabel=report.multilabel,
        kept=tuple(classes),
        fold=fold,
    )


def _table(numbers: Int32[np.ndarray, " c"]) -> UInt[np.ndarray, " n"]:
    """The number of every label among those that are kept, and what is ignored of all others."""
    kept = int(numbers.max()) + 1
    table = np.full(ignored(len(numbers)) + 1, ignored(kept), mask_type(kept))
    table[: len(numbers)] = np.where(numbers < 0, ignored(kept), numbers)
    return table


def _checked(root: str | os.PathLike[str], bands: tuple[int, ...] | None, fold: int | None) -> Report:
    """Check once in a process, and again after errors, which may have been mended, or when files have changed."""
    splits = split_images(find(root), fold)
    pairs = [pair for part in (splits.train, splits.val, splits.test) for pair in part]
    files = [file for pair in pairs for file in (pair.image, pair.mask, *pair.labels) if file is not None]
    report = read_once(
        (os.path.realpath(root), bands, fold, splits._replace(by_hash=False)),
        [*files, *(Path(root, name) for name in (*CLASS_LISTS, NAMES_FILE))],
        lambda: check_masks(root, bands=[str(number) for number in bands or ()], fold=fold),
        lambda report: not report.errors,
    )
    report.refuse()
    return report
