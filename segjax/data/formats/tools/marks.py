"""What labelling tools have in common: objects with a name and an outline or a box, on images found by their names."""

import math
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from segjax.data.formats import tiff
from segjax.data.formats.annotations import Annotated, Annotations, is_number
from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.layouts import TEST_NAMES, TRAIN_NAMES, VAL_NAMES
from segjax.data.formats.opened import image_stream, orientation, read_header, tiff_pages
from segjax.data.formats.polygons import packed
from segjax.errors import DataError

CORNERS = 64
"""Of the polygon that stands for an ellipse."""

Points = Sequence[tuple[float, float]]
SPLITS = {"train": TRAIN_NAMES, "val": VAL_NAMES, "test": TEST_NAMES}


class Mark(NamedTuple):
    """One object."""

    label: str
    where: str
    """Its place in the file, for messages: " object 3"."""
    outline: Any
    """Polygons or run lengths as COCO has them; None where the object is only a box."""
    box: tuple[float, float, float, float]
    """x, y, width and height in pixels."""


class Labelled(NamedTuple):
    """One image with its objects."""

    path: Path
    size: tuple[int, int] | None
    """Height and width as the tool says them."""
    marks: list[Mark]


@dataclass
class Reading:
    """What a tool has left."""

    tool: str
    found: Annotations
    """Where it was read, and what is wrong with it."""
    images: dict[str, list[Labelled]]
    """By their split; all as "" where nothing says it."""
    names: Sequence[str] | None = None
    """The classes, where the tool has a list of them; those that come up otherwise, in the order of the alphabet."""

    def annotations(self) -> dict[str, Annotations]:
        """The annotations of every split."""
        every = [image for images in self.images.values() for image in images]
        used = {mark.label for image in every for mark in image.marks}
        self.found.class_names = tuple(self.names) if self.names is not None else tuple(sorted(used))
        if twice := {name for name in self.found.class_names if self.found.class_names.count(name) > 1}:
            self.found.error("class", "", f"lists the class '{min(twice)}' twice: give every class a name of its own")
        for images in self.images.values():
            self.found.refuse_twice(image.path for image in images)
        parts = {split: replace(self.found, pictures=[], problems=[]) for split in self.images}
        next(iter(parts.values())).problems.extend(self.found.problems)
        for split, images in self.images.items():
            parts[split].pictures.extend(_annotated(parts[split], image) for image in images)
        return parts


def _annotated(found: Annotations, image: Labelled) -> Annotated:
    numbers = {name: number for number, name in enumerate(found.class_names)}
    boxes, labels, outlines = [], [], []
    for mark in image.marks:
        if mark.label not in numbers:
            known = ", ".join(found.class_names)
            found.error("unknown category", mark.where, f"has the class '{mark.label}', and the classes are {known}")
        elif box := found.keep_box(mark.where, mark.box, image.size):
            boxes.append(box)
            labels.append(numbers[mark.label])
            outlines.append(mark.outline)
    return Annotated(
        image.path,
        image.size,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        np.zeros(len(boxes), bool),
        np.zeros((len(boxes), 0), np.float32),
        tuple(outlines),
    )


def by_folder(root: Path, images: Iterable[Labelled]) -> dict[str, list[Labelled]]:
    """Images by the split that a folder of theirs below `root` is called; all as "" where there are no two splits."""
    parts: dict[str, list[Labelled]] = {}
    every = list(images)
    for image in every:
        folders = (
            {part.lower() for part in image.path.relative_to(root).parts[:-1]} if root in image.path.parents else set()
        )
        split = next((split for split, names in SPLITS.items() if folders & set(names)), "")
        parts.setdefault(split, []).append(image)
    return parts if "" not in parts and parts.keys() >= {"train"} and len(parts) > 1 else {"": every}


def polygon(label: str, where: str, points: Points) -> Mark:
    """An object with one outline."""
    corners = np.array(points, float).reshape(-1, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return Mark(label, where, [corners.ravel().tolist()], (*low.tolist(), *(high - low).tolist()))


def rectangle(label: str, where: str, x: float, y: float, width: float, height: float, degrees: float = 0) -> Mark:
    """A box; one that is turned clockwise about its corner (x, y) has an outline."""
    if not degrees:
        return Mark(label, where, None, (x, y, width, height))
    along = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    return polygon(
        label,
        where,
        [(x + right * along[0] - down * along[1], y + right * along[1] + down * along[0]) for right, down in corners],
    )


def ellipse(label: str, where: str, x: float, y: float, across: float, down: float, radians: float = 0) -> Mark:
    """One with its middle at (x, y) and two radii, turned clockwise, as a polygon of `CORNERS`."""
    turns = np.arange(CORNERS) * (2 * math.pi / CORNERS)
    right, below = across * np.cos(turns), down * np.sin(turns)
    cos, sin = math.cos(radians), math.sin(radians)
    return polygon(label, where, np.stack([x + right * cos - below * sin, y + right * sin + below * cos], 1).tolist())


def bitmap(
    label: str, where: str, inside: Bool[np.ndarray, "h w"], x: int, y: int, size: tuple[int, int]
) -> Mark | None:
    """An object that is painted, its corner at (x, y) in an image of (height, width); None without a pixel."""
    from pycocotools import mask as rle

    whole = np.zeros(size, np.uint8, order="F")
    part = inside[max(-y, 0) : size[0] - y, max(-x, 0) : size[1] - x]
    whole[max(y, 0) : max(y, 0) + part.shape[0], max(x, 0) : max(x, 0) + part.shape[1]] = part
    if not whole.any():
        return None
    packed: Any = rle.encode(whole)
    left, top, width, height = map(float, rle.toBbox(packed))
    return Mark(label, where, {"size": list(size), "counts": packed["counts"].decode()}, (left, top, width, height))


def with_holes(mark: Mark, holes: Iterable[Points], size: tuple[int, int]) -> Mark:
    """An object without what other outlines within it enclose."""
    from pycocotools import mask as rle

    flat = [np.array(hole, float).ravel().tolist() for hole in holes]
    if not flat:
        return mark
    outer, inner = (rle.decode(packed(each, size)) for each in (mark.outline, flat))
    return bitmap(mark.label, mark.where, (outer > 0) & (inner == 0), 0, 0, size) or mark


def listed(found: Annotations, where: str, said: Any, name: str) -> list[Any]:
    """What JSON lists under a name, nothing where it is null or not there; anything else is an error."""
    value = said.get(name) if isinstance(said, dict) else said
    if value is None:
        return []
    if value is not said and isinstance(value, list):
        return value
    found.error("unreadable", where, f"has {str(value)[:40]!r} where a list `{name}` is expected: export it again")
    return []


def pairs(values: object, least: int = 3) -> list[tuple[float, float]] | None:
    """Corners x, y as JSON has them; None where they are less than `least` or no numbers."""
    if not isinstance(values, list) or len(values) < least:
        return None
    good = all(isinstance(one, list) and len(one) == 2 and all(map(is_number, one)) for one in values)
    return [(float(x), float(y)) for x, y in values] if good else None


def stored_size(path: Path) -> tuple[int, int]:
    """Height and width of an upright image, of its header alone.

    Raises:
        DataError: it has none.
    """
    with image_stream(path, None) as stream:
        if pages := tiff_pages(stream, shown(path)):
            (height, width, _), turned = pages[0].shape, pages[0].number(tiff.ORIENTATION) > 4
            return (width, height) if turned else (height, width)
        with read_header(stream, shown(path)) as image:
            turned = orientation(image) > 4
            return (image.width, image.height) if turned else (image.height, image.width)


def painted(data: bytes, what: str) -> Bool[np.ndarray, "h w"]:
    """The pixels of a small PNG that are not 0, or not transparent.

    Raises:
        DataError: it is none.
    """
    with image_stream(what, data) as stream, read_header(stream, what, ("PNG",)) as image:
        channels = np.asarray(image if image.mode in ("1", "L", "LA", "RGBA") else image.convert("L"))
    return (channels[..., -1] if channels.ndim == 3 else channels) > 0


class ImagesBelow:
    """The image files below a folder, found by their names wherever they were when they were labelled."""

    def __init__(self, root: Path) -> None:
        """Take the folder, which is listed when a first image is looked for."""
        self._root = root

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for folder, folders, files in os.walk(self._root, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if Path(name).suffix.lower() in SUFFIXES:
                    found.setdefault(_key(name), []).append(Path(folder, name))
        return found

    def find(self, said: str, folder: Path) -> Path | None:
        """The image of that name or path from `folder`, where it is said; None where none is.

        Of several it is the one whose folders are called alike, from its own upwards, and of these the nearest.

        Raises:
            DataError: two are as alike and as near.
        """
        parts = _key(os.path.normpath(f"{folder}/{said}".replace("\\", "/"))).split("/")
        found = [(path, _key(os.path.normpath(path)).split("/")) for path in self._by_name.get(parts[-1], ())]
        likeness = [(_alike(reversed(one), reversed(parts)), _alike(one, parts)) for _, one in found]
        closest = [path for (path, _), alike in zip(found, likeness, strict=True) if alike == max(likeness)]
        if len(closest) > 1:
            raise DataError(
                f"{shown(self._root)} has '{shown(said)}' as {shown(closest[0])} and as {shown(closest[1])}, and "
                "nothing says which is meant: take one away, or give each a name of its own."
            )
        return next(iter(closest), None)


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _alike(parts: Iterable[str], others: Iterable[str]) -> int:
    same = [one == other for one, other in zip(parts, others, strict=False)]
    return [*same, False].index(False)
