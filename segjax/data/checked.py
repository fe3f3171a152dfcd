"""Records are looked at where they enter: what would be wrapped or cast without a word is refused in one sentence."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from segjax.data.formats.bands import Bands
from segjax.data.formats.rasters import WHITE
from segjax.data.record import IGNORE, Record, Source
from segjax.errors import DataError, counted
from segjax.mask_numbers import ignored_in, mask_type


@dataclass(frozen=True)
class CheckedSource:
    """A source whose records are what `Record` says, or else are refused when they are read."""

    source: Source
    name: str = ""
    """What sentences call it."""
    num_classes: int | None = None
    """Classes of the mask; of the boxes where there are any, and then a mask has the background and these."""
    num_attributes: int | None = None
    bands: Bands | None = None
    """What all images are; None for any one depth."""
    multilabel: bool = False
    """Whether masks have a band for each of the classes."""

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.source)

    def name_of(self, index: int) -> str:
        """What the record of that number is called: where the source gives no names, by its number."""
        named = getattr(self.source, "name_of", None)
        return f"record {index}" if named is None else named(index)

    def __getitem__(self, index: int) -> Record:
        """The record of that number.

        Raises:
            DataError: It cannot be read, or is not what a record must be; the sentence names it and the type found.
        """
        record = self.source[index]
        what = f"Record {index} of {self.name}" if self.name else f"Record {index}"
        _check_image(what, record)
        if self.bands is not None:
            self.bands.refuse_others(record["image"], f"The image of {what[0].lower()}{what[1:]}")
        if "mask" in record:
            if self.multilabel:
                _check_label_bands(what, record, self.num_classes)
            else:
                _check_mask(what, record, self.num_classes)
        if "boxes" in record:
            _check_boxes(what, record, self.num_classes, self.num_attributes)
        return record


def checked(source: Source) -> CheckedSource:
    """The source with its records checked, unless they are already."""
    return source if isinstance(source, CheckedSource) else CheckedSource(source)


def _check_image(what: str, record: Record) -> None:
    image: Any = record.get("image")
    if _dtype(image) not in WHITE or image.ndim != 3 or 0 in image.shape:
        raise DataError(
            f"{what} has an image of {_described(image)}: give height, width and channels as uint8 in 0 to 255, as "
            "uint16, or as float32."
        )
    if image.dtype == np.float32 and not np.isfinite(image).all():
        raise DataError(f"{what} has an image (float32) with NaN or infinity: fill these pixels, and ignore them.")


def _check_mask(what: str, record: Record, num_classes: int | None) -> None:
    mask, size = record["mask"], record["image"].shape[:2]
    count = None if num_classes is None else num_classes + ("boxes" in record)
    types = ("uint8", "uint16") if count is None else (mask_type(count).name,)
    if _dtype(mask) not in types or mask.shape != size:
        many = count is not None and types == ("uint16",)
        raise DataError(
            f"{what} has a mask of {_described(mask)} for an image of {size[0]}x{size[1]}"
            + (f" and {count} classes: " if many else ": ")
            + "give the class of every pixel as "
            + ("uint16, 65535 to ignore it." if many else "uint8, 255 to ignore it.")
        )
    # Most masks have no class out of range, and then one look at their greatest value is enough.
    ignore = ignored_in(mask)
    if count is not None and mask.max() >= count and (strange := mask[(mask >= count) & (mask != ignore)]).size:
        raise DataError(
            f"{what} has a mask ({mask.dtype}) with the class {strange.max()}, and there are {count} classes: name all "
            f"of them, or write {ignore} where a pixel has none."
        )


def _check_label_bands(what: str, record: Record, labels: int | None) -> None:
    mask, size = record["mask"], record["image"].shape[:2]
    if _dtype(mask) != "uint8" or mask.shape != (*size, labels):
        raise DataError(
            f"{what} has a mask of {_described(mask)} for an image of {size[0]}x{size[1]} and {labels} labels: give "
            f"shape {(*size, labels)}, as uint8, 1 where a pixel has the label, 0 where not, 255 to ignore it."
        )
    if strange := set(np.unique(mask).tolist()) - {0, 1, IGNORE}:
        raise DataError(f"{what} has a mask of labels with the value {min(strange)}: give 0, 1, or {IGNORE} to ignore.")


def _check_boxes(what: str, record: Record, num_classes: int | None, num_attributes: int | None) -> None:
    boxes = record["boxes"]
    if _kind(boxes) not in "fiu" or boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"{what} has boxes of {_described(boxes)}: give x, y, width and height of each, as float32.")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        raise DataError(f"{what} has boxes ({boxes.dtype}) with NaN, infinity or a negative size: leave them out.")
    count = len(boxes)
    labels: Any = record.get("labels")
    if _kind(labels) not in "iu" or labels.shape != (count,):
        raise DataError(
            f"{what} has {counted(count, 'box')} and labels of {_described(labels)}: give each its class, as int32."
        )
    if count and (labels.min() < 0 or (num_classes is not None and labels.max() >= num_classes)):
        strange = labels.min() if labels.min() < 0 else labels.max()
        known = "" if num_classes is None else f", of {counted(num_classes, 'class')}"
        raise DataError(f"{what} has a box with the label {strange} ({labels.dtype}){known}: count classes from 0.")
    if "crowd" in record and (_dtype(record["crowd"]) != "bool" or record["crowd"].shape != (count,)):
        raise DataError(
            f"{what} has {counted(count, 'box')} and a crowd of {_described(record['crowd'])}: give a bool for each."
        )
    if "attributes" in record:
        scores = record["attributes"]
        fits = _kind(scores) == "f" and scores.ndim == 2 and len(scores) == count
        if not fits or (num_attributes is not None and scores.shape[1] != num_attributes):
            named = "" if num_attributes is None else f"{num_attributes} "
            raise DataError(
                f"{what} has {counted(count, 'box')} and attributes of {_described(scores)}: give {named}scores of "
                "each, as float32."
            )
        if ((scores < 0) | (scores > 1)).any():
            raise DataError(f"{what} has attributes ({scores.dtype}) outside 0 to 1: scale them, NaN where none is.")


def _dtype(values: object) -> str:
    return _name(values.dtype) if isinstance(values, np.ndarray) else ""


@functools.cache  # NumPy makes the name anew each time, in a tenth of what a small record takes
def _name(dtype: np.dtype) -> str:
    return dtype.name


def _kind(values: object) -> str:
    return values.dtype.kind if isinstance(values, np.ndarray) else "?"


def _described(values: object) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.dtype} and shape {values.shape}"
    return "nothing" if values is None else f"the type {type(values).__name__}"
