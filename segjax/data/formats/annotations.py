"""Images with boxes around objects, as files of annotations list them, and records made of them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt

from segjax.data.formats.bands import Bands
from segjax.data.formats.held_out import TEST_SHARE, held_out_note, hold_out, say_once
from segjax.data.formats.images import read_jpeg, shown
from segjax.data.formats.opened import MAX_PIXELS
from segjax.data.formats.problems import Problem, refuse
from segjax.data.record import Record
from segjax.errors import DataError, counted
from segjax.mask_numbers import ignored_in

_ROUNDING = 1.0
"""Boxes that reach so many pixels over the border are clipped without a word: tools round them."""

_GREATEST = float(np.finfo(np.float32).max)

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Annotated:
    """One image file with its boxes."""

    path: Path
    size: tuple[int, int] | None
    """Height and width as the annotations say, None where they do not."""
    boxes: Float32[np.ndarray, "m 4"]
    labels: Int32[np.ndarray, " m"]
    crowd: Bool[np.ndarray, " m"]
    attributes: Float32[np.ndarray, "m a"]
    segmentations: tuple[Any, ...] = ()
    """Of every box its polygons or run lengths, None where there are none; empty unless they were asked for."""

    def rows(self, kept: Int[np.ndarray, " n"]) -> "Annotated":
        """The image with some of its boxes."""
        return replace(
            self,
            boxes=self.boxes[kept],
            labels=self.labels[kept],
            crowd=self.crowd[kept],
            attributes=self.attributes[kept],
            segmentations=tuple(self.segmentations[row] for row in kept) if self.segmentations else (),
        )


@dataclass
class Annotations:
    """What was read of one file or folder of annotations, and all that is wrong with it."""

    source: Path
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...] = ()
    pictures: list[Annotated] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def error(self, kind: str, where: str, sentence: str) -> None:
        """Note an error; the sentence goes on after the place in the source."""
        self.problems.append(Problem(kind, "error", shown(self.source), f"{shown(self.source)}{where} {sentence}."))

    def warn(self, kind: str, where: str, sentence: str) -> None:
        """Note a warning; the sentence goes on after the place in the source."""
        self.problems.append(Problem(kind, "warning", shown(self.source), f"{shown(self.source)}{where} {sentence}."))

    def refuse_twice(self, paths: Iterable[Path]) -> None:
        """Note an error for each image file that is annotated in two places."""
        for path in (path for path, count in Counter(paths).items() if count > 1):
            self.error("duplicate file", "", f"has {shown(path)} labelled twice: put its objects together")

    def refuse(self) -> None:
        """Refuse what has errors.

        Raises:
            DataError: there are errors; it says the first ten.
        """
        refuse(self.source, self.problems)

    def keep_box(self, where: str, values: object, size: tuple[int, int] | None) -> Box | None:
        """The box (x, y, w, h) clipped to the image, None where it is none; says what is wrong with it."""
        numbers = [float(value) for value in values if is_number(value)] if isinstance(values, (list, tuple)) else []
        if not isinstance(values, (list, tuple)) or len(values) != 4 or len(numbers) != 4:
            self.error("box", where, f"has the box {values}: write four numbers, x, y, width and height in pixels")
            return None
        x, y, width, height = numbers
        inside = size is None or (x >= 0 and y >= 0 and x + width <= size[1] and y + height <= size[0])
        if inside and width > 0 and height > 0:
            return x, y, width, height
        said = f"has a box of {width:g}x{height:g} pixels at ({x:g}, {y:g})"
        if width < 0 or height < 0:
            self.error("box size", where, f"{said}: a size is positive, and x and y are of the upper left corner")
            return None
        if width == 0 or height == 0:
            self.warn("empty box", where, f"{said}: it is left out")
            return None
        assert size is not None  # or else nothing is outside
        right, bottom = min(x + width, size[1]), min(y + height, size[0])
        left, top = max(x, 0.0), max(y, 0.0)
        if right <= left or bottom <= top:
            self.error("box outside", where, f"{said}, all of it outside the image of {size[1]}x{size[0]}: mend it")
            return None
        if max(left - x, top - y, x + width - right, y + height - bottom) > _ROUNDING:
            self.warn("box outside", where, f"{said}, partly outside the image of {size[1]}x{size[0]}: it is clipped")
        return left, top, right - left, bottom - top


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number, of those that records hold in 32 bits."""
    # Compared, and not asked whether it is finite: of a whole number that is an error beyond float64.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _GREATEST


def known_size(height: Any, width: Any) -> tuple[int, int] | None:
    """Values of JSON as the size of an image that can be read; None where they are none."""
    whole = type(height) is int and type(width) is int
    return (height, width) if whole and min(height, width) > 0 and height * width <= MAX_PIXELS else None


@dataclass(frozen=True)
class AnnotatedSource:
    """Annotated images, read when they are asked for."""

    worth_keeping: ClassVar[bool] = True
    pictures: Sequence[Annotated]
    with_attributes: bool = False
    bands: Bands = field(default_factory=Bands)
    """What their files are read as."""
    draw_mask: Callable[[Annotated, tuple[int, int]], UInt[np.ndarray, "h w *k"]] | None = None
    """Makes the mask of an image of (height, width), which records then have instead of boxes."""

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.pictures)

    def name_of(self, index: int) -> str:
        """The name of an image's file."""
        return self.pictures[index].path.name

    def stored_jpeg(self, index: int) -> bytes | None:
        """The file of an image, where it is a JPEG."""
        return read_jpeg(self.pictures[index].path)

    def __getitem__(self, index: int) -> Record:
        """The record of one image.

        Raises:
            DataError: it cannot be read, or is not of the size that its annotations say.
        """
        picture = self.pictures[index]
        image, _, missing, *_ = self.bands.read(picture.path)
        size = image.shape[0], image.shape[1]
        if picture.size and picture.size != size:
            raise DataError(size_sentence(picture, size))
        if picture.size is None:
            picture = clipped(picture, size)
        if self.draw_mask:
            mask = self.draw_mask(picture, size)
            if missing is not None:
                mask[missing] = ignored_in(mask)
            return Record(image=image, mask=mask)
        record = Record(image=image, boxes=picture.boxes, labels=picture.labels, crowd=picture.crowd)
        if self.with_attributes:
            record["attributes"] = picture.attributes
        return record


def clipped(picture: Annotated, size: tuple[int, int]) -> Annotated:
    """The image without what of its boxes lies outside, for annotations that do not say how large it is."""
    bounds = np.array([size[1], size[0]], np.float32)
    low = picture.boxes[:, :2].clip(0, bounds)
    boxes = np.concatenate([low, (picture.boxes[:, :2] + picture.boxes[:, 2:]).clip(0, bounds) - low], axis=1)
    return replace(picture, boxes=boxes).rows(np.flatnonzero((boxes[:, 2:] > 0).all(axis=1)))


def size_sentence(picture: Annotated, size: tuple[int, int]) -> str:
    """Say that an image of (height, width) has another size than the annotations say."""
    assert picture.size
    return (
        f"{shown(picture.path)} is {size[1]}x{size[0]} pixels, and its annotations say {picture.size[1]}x"
        f"{picture.size[0]}: boxes are in pixels of the upright image, so give that size."
    )


def refuse_nothing_to_learn(name: str, pictures: Sequence[Annotated], *, outlines: bool = False) -> None:
    """Refuse a set where none of the boxes that are there to train can train; `outlines` asks for theirs.

    Raises:
        DataError: none can.
    """
    if sentence := nothing_to_learn(name, pictures, outlines=outlines):
        raise DataError(sentence)


def nothing_to_learn(name: str, pictures: Sequence[Annotated], *, outlines: bool = False) -> str | None:
    """Say that none of the boxes trains, and why; None where one does."""
    crowds = np.concatenate([one.crowd for one in pictures]) if pictures else np.zeros(0, bool)
    if not len(crowds):
        return f"{name} has no boxes for training that can be used: there is nothing to learn."
    if crowds.all():
        return (
            f"{name} has {counted(len(crowds), 'box')} for training, and none but of crowds (`iscrowd` 1 in COCO's "
            "format, `difficult` in Pascal VOC's), which neither train nor score: there is nothing to learn. Tools "
            "write `iscrowd` 1 with masks that are painted, too: write 0 where it is one object."
        )
    if outlines and not any(
        mark for one in pictures for mark, crowd in zip(one.segmentations, one.crowd, strict=True) if not crowd
    ):
        return f"{name} has no outlines (`segmentation`) for training: there are no masks to learn."
    return None


def share_out(name: str, pictures: Sequence[Annotated], cut: Collection[str]) -> dict[str, list[Annotated]]:
    """Images by their split, where what `cut` names of "val" and "test" is cut from them; a cut for validation is said.

    `name` is that of the data set.
    """
    train, val, test = cut_splits(pictures, cut)
    if val:
        say_once(held_out_note(name, val, train))
    return {"train": train, "val": val, "test": test}


def cut_splits(
    pictures: Sequence[Annotated], cut: Collection[str]
) -> tuple[list[Annotated], list[Annotated], list[Annotated]]:
    """Images to train, to validate and to test, where what `cut` names of "val" and "test" is cut from them.

    The fifth of the images whose names have the lowest hashes tests; of the others the tenth whose names have the
    lowest hashes validates. Tiles of one image stay together.
    """

    def name(one: Annotated) -> str:
        return one.path.stem

    train, test = hold_out(pictures, name, TEST_SHARE) if "test" in cut else (list(pictures), [])
    train, val = hold_out(train, name) if "val" in cut else (train, [])
    return train, val, test
