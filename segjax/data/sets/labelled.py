"""Your own images as a labelling tool left them: boxes, or masks drawn of outlines."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from segjax.data.check.image_files import mean_and_deviation
from segjax.data.dataset import Dataset
from segjax.data.formats.annotations import AnnotatedSource, refuse_nothing_to_learn
from segjax.data.formats.bands import NAMES_FILE, Bands, choose, display_range, miscounted, read_names
from segjax.data.formats.box_layouts import FoundBoxes, find_boxes
from segjax.data.formats.classes import BACKGROUND, BACKGROUND_COLOUR, bright_palette
from segjax.data.formats.held_out import say_once
from segjax.data.formats.images import read_raster, shown
from segjax.data.formats.kept_classes import kept_classes, with_classes
from segjax.data.formats.once import read_once
from segjax.data.formats.polygons import draw_labels, draw_mask
from segjax.data.formats.rasters import WHITE, depth_of
from segjax.data.formats.tools.marks import stored_size
from segjax.data.photos import FOR_PHOTOS, OF_PHOTOS
from segjax.data.record import refuse_unknown_split
from segjax.data.statistics import Statistics, pooled, spread, training_crop
from segjax.errors import DataError
from segjax.mask_numbers import MOST_CLASSES
from segjax.strict_json import frozen

_MOST = 200
"""Images whose size is looked at."""
_MEASURED = 50
"""Images that are measured, about, where they are not of 8 bits in three bands."""


@dataclass(frozen=True)
class LabelledDefaults:
    """What is found out about such images before training: plain numbers and names, which a run can keep."""

    class_names: tuple[str, ...]
    """All classes, in the order of their numbers."""
    crop: int
    """Height and width of training crops: the median shorter side, down to a multiple of 32 in 32 to 256."""
    notes: tuple[str, ...]
    """What was guessed, to be said aloud."""
    images: Statistics = OF_PHOTOS
    """Of the training images where they are not of 8 bits in three bands; otherwise those of photos."""
    bands: Bands = field(default_factory=Bands)
    """What its images are read as."""
    class_weights: ClassVar[tuple[float, ...]] = ()
    """None are worked out."""

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> "LabelledDefaults":
        """Make it again of what `dataclasses.asdict` gave, after JSON turned its tuples into lists."""
        known = frozen(known)
        parts = {"images": Statistics, "bands": Bands}
        return cls(**known | {name: make(**known[name]) for name, make in parts.items() if name in known})


def labelled(
    root: str | os.PathLike[str],
    defaults: LabelledDefaults | None = None,
    *,
    class_names: Sequence[str] = (),
    masks: bool | Literal["multilabel"] = False,
) -> Dataset:
    """Make a data set of what labelling tools, COCO or Pascal VOC say of images.

    The tools are labelme, VIA, Label Studio, Labelbox, Supervisely and YOLO.

    Splits are those of the tool or of folders called train, val and test; without them, the images whose names have the
    lowest hashes validate and test. With `masks` records have no boxes but a mask drawn of the outlines: 0 is the
    background, smaller objects lie upon larger ones, crowds and boxes without an outline are ignored.
    `masks="multilabel"` draws each class into a band of its own, where objects of several may overlap, and there is no
    background.

    Args:
        root: the folder, or one JSON file.
        defaults: what `labelled_defaults` found before; with it nothing is read until the data set is opened.
        class_names: the classes to keep: "car", or "vehicle=car+truck" for two as one; by default all.
        masks: whether records have a mask, and no boxes; "multilabel" for one with a band for each class.

    Raises:
        DataError: nothing there is understood, it has errors, or nothing to learn from: `segjax data check` lists all.
    """
    known = defaults or labelled_defaults(root)
    kept = tuple(class_names) or known.class_names
    names, _ = kept_classes(kept, known.class_names, shown(root))
    multilabel = masks == "multilabel"
    if masks is True and len(names) >= MOST_CLASSES:
        most = MOST_CLASSES - 1
        raise DataError(f"{shown(root)} has {len(names)} classes, and a mask holds up to {most}: keep fewer.")

    def open_split(split: str) -> AnnotatedSource:
        refuse_unknown_split(shown(root), split)
        found = _found(root)
        for note in found.notes:
            say_once(note)
        there = found.read[0].class_names
        if new := [name for name in there if name not in known.class_names]:
            raise DataError(
                f"{shown(root)} has the class {new[0]}, and this data set has {', '.join(known.class_names)}: label it "
                "with these, or make a data set of the classes to keep."
            )
        _, numbers = kept_classes(kept, there, shown(root))
        images = [with_classes(image, numbers) for image in getattr(found, split)]
        if split == "train":
            refuse_nothing_to_learn(shown(root), images, outlines=bool(masks))
        draw = partial(draw_labels if multilabel else draw_mask, labels=len(names)) if masks else None
        return AnnotatedSource(images, bands=known.bands, draw_mask=draw)

    return Dataset(
        Path(root).resolve().stem,
        (BACKGROUND, *names) if masks is True else names,
        (BACKGROUND_COLOUR, *bright_palette(len(names))) if masks is True else bright_palette(len(names)),
        open_split,
        statistics=known.images,
        bands=known.bands,
        augment=FOR_PHOTOS.of_depth(known.bands.depth),
        multilabel=multilabel,
    )


def labelled_defaults(root: str | os.PathLike[str], bands: Sequence[str] = ()) -> LabelledDefaults:
    """Find the classes, a size of crops, and what the images are.

    Args:
        root: the folder, or one JSON file.
        bands: which bands of the images are read, by number from 1 or by the names of bands.txt in the folder; all
            without opacity where none is named, and grey as three equal ones.

    Raises:
        DataError: as `labelled`; no such band, or images of several kinds.
    """
    found = _found(root)
    some = [found.train[place] for place in spread(len(found.train), _MOST)]
    sizes = np.array([image.size or stored_size(image.path) for image in some])
    names = read_names(Path(root))
    chosen = choose(bands, names, shown(root))
    images, these = OF_PHOTOS, Bands(chosen=chosen, names=names)
    if chosen is not None or not _of_photos(some[0].path):
        images, these = _measured([one.path for one in some[:: max(1, len(some) // _MEASURED)]], these)
    if wrong := miscounted(these.names, these.count):
        raise DataError(f"{shown(Path(root, NAMES_FILE))} {wrong}.")
    return LabelledDefaults(found.read[0].class_names, training_crop(sizes), tuple(found.notes), images, these)


def _of_photos(path: Path) -> bool:
    pixels = read_raster(path).pixels
    return (pixels.dtype, pixels.shape[2]) == (np.uint8, 3)


def _measured(paths: list[Path], bands: Bands) -> tuple[Statistics, Bands]:
    """The statistics of images, and what they are; refuses those of another kind than the first."""
    means, stds, pixels = [], [], []
    for number, path in enumerate(paths):
        found = read_raster(path, bands=bands.chosen)
        if number == 0:
            bands = replace(bands, depth=depth_of(found.pixels), count=found.pixels.shape[2])
        bands.refuse_others(found.pixels, shown(path))
        absent = 0 if found.missing is None else int(found.missing.sum())
        mean, std = (values / WHITE[bands.depth] for values in mean_and_deviation(found.pixels, found.missing))
        means, stds = [*means, mean], [*stds, std]
        pixels.append(max(1, found.pixels[..., 0].size - absent))
    if bands.chosen is not None and max(bands.chosen) <= len(bands.names):
        bands = replace(bands, names=tuple(bands.names[number - 1] for number in bands.chosen))
    images = pooled(np.array(means), np.array(stds), np.array(pixels), bands.depth)
    low, high = display_range(images.mean, images.std, bands.depth)
    return images, replace(bands, low=low, high=high)


def _found(root: str | os.PathLike[str]) -> FoundBoxes:
    files = sorted(Path(root).rglob("*")) if Path(root).is_dir() else [Path(root)]
    found = read_once(("boxes", os.path.realpath(root)), files, lambda: find_boxes(root), _is_whole)
    if found is None:
        raise DataError(
            f"{shown(root)} has nothing that is understood of labelme, VIA, Label Studio, Labelbox, Supervisely, YOLO, "
            "COCO or Pascal VOC: give the folder that holds the images and what the tool exported."
        )
    for one in found.read:
        one.refuse()
    return found


def _is_whole(found: FoundBoxes | None) -> bool:
    return found is not None and not any(problem.severity == "error" for one in found.read for problem in one.problems)
