"""Which image belongs to which mask: the folder layouts of several tools, in one table."""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt

from segjax.data.formats.classes import (
    ClassList,
    read_classes,
    read_labelmap,
    read_nnunet_classes,
    read_roboflow_classes,
)
from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.label_bands import by_label, name_labels
from segjax.data.formats.numberings import (
    ADE_CLASSES,
    IDS,
    TRAIN_IDS,
    ade_levels,
    cityscapes_classes,
    cityscapes_levels,
    read_ade_classes,
)
from segjax.data.formats.opened import matching
from segjax.data.formats.problems import Problem
from segjax.data.formats.scenes import ZARR
from segjax.errors import DataError

ROBOFLOW_CLASSES = "_classes.csv"
CLASS_LISTS = ("classes.txt", "dataset.json", "labelmap.txt", f"train/{ROBOFLOW_CLASSES}", ADE_CLASSES)
"""Files of a folder that say what its classes are: ours, nnU-Net's, CVAT's, Roboflow's and ADE20K's."""
TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "valid", "validation")
TEST_NAMES = ("test", "testing")
"""Of several names of one split that are there, the first one is taken."""


_CHANNEL = re.compile(r"_\d{4}$")
_WORDS = {'"shapes"': "labelme", '"_via_': "VIA", '"annotations"': "Label Studio", '"regions"': "VIA"}
"""What a tool's JSON begins with, in the order in which they are looked for."""
_READ = (
    "which are no masks: read them by --data labelled, `segjax train detection` as boxes and `segjax train "
    "segmentation` as masks of outlines"
)


class Layout(NamedTuple):
    """Where a tool keeps images and masks; `{split}` stands for train, val and the like."""

    tool: str
    images: str
    masks: str
    image_end: str = ""
    """What an image's name has after the part that it shares with its mask's."""
    mask_ends: tuple[str, ...] = ("", "_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_L")
    lists: str = "splits"
    """The folder of train.txt and test.txt (or val.txt), one name a line."""
    needs: str = ""
    """A file beside the images without which it is not this tool's."""


LAYOUTS = (
    Layout("segjax", "images", "masks"),
    Layout("images and labels", "images", "labels"),
    Layout("images and annotations", "images", "annotations"),
    Layout("imgs and masks", "imgs", "masks"),
    Layout("image and mask", "image", "mask"),
    Layout("MMSegmentation", "img_dir", "ann_dir"),
    Layout("nnU-Net", "imagesTr", "labelsTr", image_end="_0000"),
    Layout("Pascal VOC", "JPEGImages", "SegmentationClass", lists="ImageSets/Segmentation"),
    Layout("Cityscapes", "leftImg8bit", "gtFine", "_leftImg8bit", (TRAIN_IDS, IDS)),
    Layout("images and masks in each split", "{split}/images", "{split}/masks"),
    Layout("images and labels in each split", "{split}/images", "{split}/labels"),
    Layout("CamVid", "{split}", "{split}annot"),
    Layout("Carvana", "{split}", "{split}_masks"),
    Layout("Roboflow", "{split}", "{split}", mask_ends=("_mask",), needs=ROBOFLOW_CLASSES),
)


class ImageAndMask(NamedTuple):
    """An image and its mask."""

    key: str
    """The path below the layout's folder without what follows the shared name; lists of splits hold it."""
    image: Path
    mask: Path
    """Of several, the first."""
    labels: tuple[Path | None, ...] = ()
    """The mask of every label, None where an image has none of it; empty where there is one mask."""


@dataclass
class FoundImages:
    """What a folder holds, as far as names say it."""

    root: Path
    layout: Layout
    folders: dict[str, list[str]] = field(default_factory=dict)
    """The keys in the folder of every split ("" where the layout has none)."""
    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    """By the key of the image that it belongs to, or by its own where there is none."""
    classes: ClassList | None = None
    levels: UInt[np.ndarray, " n"] | None = None
    """The class of every number of the masks, where the tool has numbers of its own."""
    channels: tuple[str, ...] = ()
    """What the names of the files of an image's channels end with, where each is a file of its own."""
    labels: tuple[str, ...] = ()
    """What the bands of masks are called, where labels may overlap."""
    label_files: dict[str, dict[str, Path]] = field(default_factory=dict)
    """By the label and then as `masks`, where each label has files of its own."""
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def error(self, kind: str, file: Path, sentence: str) -> None:
        """Note an error; the sentence goes on after the file's name."""
        self.problems.append(Problem(kind, "error", shown(file), f"{shown(file)} {sentence}."))

    def warn(self, kind: str, file: Path, sentence: str) -> None:
        """Note a warning; the sentence goes on after the file's name."""
        self.problems.append(Problem(kind, "warning", shown(file), f"{shown(file)} {sentence}."))


def find(root: str | os.PathLike[str]) -> FoundImages:
    """Find the images and masks below a folder in any of `LAYOUTS`, and its class list; reads no pixels.

    Raises:
        DataError: there is no such folder, or nothing in it that is understood.
    """
    root = Path(root)
    layout, places = _layout(root)
    found = FoundImages(root, layout)
    for split, image_folder, mask_folder in places:
        if not os.path.isdir(mask_folder):
            found.notes.append(f"{shown(image_folder)} has no masks and is not used.")
            continue
        images, masks = dict(_images_below(image_folder, found)), dict(_images_below(mask_folder, found))
        if image_folder == mask_folder:
            masks = {name: path for name, path in masks.items() if name.endswith(layout.mask_ends)}
            images = {name: path for name, path in images.items() if name not in masks}
        if any(name.endswith(TRAIN_IDS) for name in masks):
            masks = {name: path for name, path in masks.items() if not name.endswith(IDS)}
        for folder, files in ((image_folder, images), (mask_folder, masks)):
            if not files and (tool := _labelling_tool(root)):
                raise DataError(f"{shown(root)} has {tool}.")
            if not files:
                raise DataError(f"{shown(folder)} holds no images ({', '.join(SUFFIXES)}): put them there.")
        prefix = f"{split}/" if split else ""
        keys, channels = {}, set()
        for name, path in images.items():
            if name.endswith(layout.image_end):
                keys[prefix + name.removesuffix(layout.image_end)] = path
            elif layout.tool == "nnU-Net" and re.sub(_CHANNEL, layout.image_end, name) in images:
                channels.add(name[-5:])
            else:
                found.error(
                    "name",
                    path,
                    f"does not end in {layout.image_end} as {layout.tool} names one-file images: rename it",
                )
        if channels:
            found.channels = tuple(sorted({layout.image_end, *channels, *found.channels}))
        labels = by_label(masks, {key.removeprefix(prefix) for key in keys}, layout.mask_ends)
        for label, files in labels.items():
            for key, path in files.items():
                found.label_files.setdefault(label, {})[prefix + key] = path
                found.masks.setdefault(prefix + key, path)
        one_each = {path for files in labels.values() for path in files.values()}
        for path in (path for path in masks.values() if labels and path not in one_each):
            found.error("double", path, "is another mask of an image that has one of this label: keep one of the two")
        for name, path in () if labels else masks.items():
            stems = [name.removesuffix(end) for end in layout.mask_ends if name.endswith(end)]
            matching = [stem for stem in stems if prefix + stem in keys]
            if stems:
                other = found.masks.setdefault(prefix + (matching or stems)[0], path)
                if other is not path:
                    found.error(
                        "double", path, f"is a mask of the same image as {shown(other.name)}: keep one of the two"
                    )
        found.folders[split] = sorted(keys)
        found.images |= keys
    if not found.images:
        raise DataError(f"{shown(root)} holds no images with masks: put images in images/ and masks in masks/.")
    _read_class_list(found)
    name_labels(found)
    return found


def _layout(root: Path) -> tuple[Layout, list[tuple[str, Path, Path]]]:
    name = shown(root)
    if not os.path.exists(root):
        raise DataError(f"{name} is not there: give the folder that holds images/ and masks/.")
    if not os.path.isdir(root):
        raise DataError(f"{name} is not a folder: give the folder that holds images/ and masks/.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise DataError(f"{name} may not be read by this user: give permission with `chmod u+rx`.")
    for layout in LAYOUTS:
        if places := _places(root, layout):
            return layout, places
    for layout in LAYOUTS:
        if os.path.isdir(root / layout.images):
            raise DataError(f"{name} has {layout.images}/ but no {layout.masks}/: put the masks there, named alike.")
    if tool := _labelling_tool(root):
        raise DataError(f"{name} has {tool}.")
    others = ", ".join(f"{layout.images} + {layout.masks}" for layout in LAYOUTS[1:] if not layout.needs)
    raise DataError(
        f"{name} has no folders that are understood: put images in images/ and masks of the same names in masks/ "
        f"(also understood: {others}; and, by --data labelled, boxes and outlines of labelling tools, COCO and Pascal "
        "VOC)."
    )


def _labelling_tool(root: Path) -> str | None:
    """What a labelling tool has left: the words that follow "has", and what to do."""
    below = [path for _, path in zip(range(5000), matching(root, "**/*"), strict=False) if path.is_file()]
    stems = {path.with_suffix("") for path in below if path.suffix.lower() in SUFFIXES}
    stems |= {Path(*("labels" if part == "images" else part for part in stem.parts)) for stem in stems}
    beside: dict[str, list[Path]] = {}
    for path in below:
        if path.with_suffix("") in stems or path.suffix.lower() == ".json":
            beside.setdefault(path.suffix.lower(), []).append(path)
    if texts := beside.get(".txt"):
        line = _beginning(texts[0]).splitlines()
        if any(re.fullmatch(r"\d+( +-?[\d.eE+-]+){4,}\s*", one) for one in line):
            return f"YOLO's .txt files beside its images, {_READ}"
    if beside.get(".xml"):
        return f"labelImg's .xml files beside its images, {_READ}"
    for path in beside.get(".json", []):
        text = _beginning(path)
        for word, tool in _WORDS.items():
            if word in text:
                return f"{tool}'s .json files, {_READ}"
    return None


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(20_000).decode("utf-8", "replace")


def _places(root: Path, layout: Layout) -> list[tuple[str, Path, Path]]:
    """Where the images and masks of every split are, or of all ("") where no folder says the split."""
    by_split = "{split}" in layout.images
    images, masks = (
        (layout.images, layout.masks) if by_split else (layout.images + "/{split}", layout.masks + "/{split}")
    )
    splits = [
        (s, root / images.format(split=s), root / masks.format(split=s)) for s in TRAIN_NAMES + VAL_NAMES + TEST_NAMES
    ]
    splits = [place for place in splits if os.path.isdir(place[1]) and os.path.exists(place[1] / layout.needs)]
    if any(os.path.isdir(mask_folder) for _, _, mask_folder in splits):
        return splits
    whole = "", root / layout.images, root / layout.masks
    return [whole] if not by_split and os.path.isdir(whole[1]) and os.path.isdir(whole[2]) else []


def _images_below(top: Path, found: FoundImages) -> Iterator[tuple[str, Path]]:
    """Every image below a folder by its path without the ending; links are followed, once."""
    seen: set[str] = set()
    kept: dict[str, Path] = {}
    failed: list[OSError] = []
    for folder, folders, files in os.walk(top, followlinks=True, onerror=failed.append):
        folders.sort()
        for inner in tuple(folders):
            real = os.path.realpath(os.path.join(folder, inner))
            if real in seen or top.resolve().is_relative_to(real):
                found.warn("link", Path(folder, inner), "leads to a folder that is read already: it is not followed")
                folders.remove(inner)
            elif inner.startswith("."):
                folders.remove(inner)
            seen.add(real)
        arrays = [inner for inner in folders if inner.lower().endswith(ZARR)]
        folders[:] = [inner for inner in folders if inner not in arrays]
        for file in sorted([*files, *arrays]):
            path = Path(folder, file)
            if file.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            # macOS writes an accented letter as two characters, other systems as one: the two names must meet.
            key = unicodedata.normalize("NFC", path.relative_to(top).with_suffix("").as_posix())
            key = key.removesuffix(".ome")  # a.ome.tif and a.ome.zarr
            if key in kept:
                found.error("double", path, f"has the same name as {shown(kept[key].name)}: keep one of the two")
            else:
                kept[key] = path
    for error in failed:
        if error.filename == os.fspath(top):
            raise DataError(f"{shown(top)} cannot be listed ({error.strerror}): give permission with `chmod u+rx`.")
        found.error(
            "unreadable",
            Path(error.filename),
            f"cannot be listed ({error.strerror}): give permission with `chmod u+rx`",
        )
    yield from kept.items()


def _read_class_list(found: FoundImages) -> None:
    text, nnunet, cvat, roboflow, ade = (found.root / name for name in CLASS_LISTS)
    try:
        if text.exists():
            found.classes = read_classes(text)
        elif cvat.exists():
            text, found.classes = cvat, read_labelmap(cvat)
        elif found.layout.tool == "nnU-Net" and nnunet.exists():
            text, (found.classes, found.levels) = nnunet, read_nnunet_classes(nnunet)
        elif found.layout.tool == "Cityscapes":
            found.classes = cityscapes_classes()
            if any(path.stem.endswith(IDS) for path in found.masks.values()):
                found.levels = cityscapes_levels()
                found.notes.append("Masks of Cityscapes' ids: its 19 classes are kept, and all else is ignored.")
        elif found.layout.masks == "annotations" and ade.exists():
            text, found.classes = ade, read_ade_classes(ade)
            found.levels = ade_levels(len(found.classes.names))
            found.notes.append("Masks of ADE20K: 0 is ignored, and its class 1 is class 0 here.")
        elif found.layout.tool == "Roboflow":
            text, found.classes = roboflow, read_roboflow_classes(roboflow)
            for other in (found.root / split / ROBOFLOW_CLASSES for split in found.folders if split != "train"):
                text, names = other, read_roboflow_classes(other).names
                if names != found.classes.names:
                    found.error(
                        "class list",
                        other,
                        f"has the classes {', '.join(names)}, and train/ {', '.join(found.classes.names)}: masks of "
                        "both need the same numbers, so export them together",
                    )
    except DataError as error:
        found.problems.append(Problem("class list", "error", shown(text), str(error)))
