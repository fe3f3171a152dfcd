"""Masks drawn of the outlines that COCO's format gives to objects: polygons, or run lengths plain or packed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt, UInt8

from segjax.data.formats.annotations import Annotated, is_number
from segjax.data.formats.images import shown
from segjax.data.record import IGNORE
from segjax.errors import DataError
from segjax.mask_numbers import ignored, mask_type

OUTLINE_ADVICE = "give polygons of at least three corners, or run lengths of the image's size"
"""What to do about an outline that cannot be drawn."""
_FARTHEST = 2.0**20
"""Of a corner, in pixels: COCO's tools walk along every edge, and end the process where 32 bits do not hold its length.
"""


def draw_mask(picture: Annotated, size: tuple[int, int], labels: int) -> UInt[np.ndarray, "h w"]:
    """The mask of an image of (height, width): every object's label + 1, smaller ones upon larger ones.

    Crowds, and boxes without an outline, are ignored.

    Raises:
        DataError: an outline is neither polygons nor run lengths of the image's size.
    """
    mask, ignore = np.zeros(size, mask_type(1 + labels)), ignored(1 + labels)
    for inside, label, counted in sorted(_drawn(picture, size), key=lambda one: -one[0].sum()):
        mask[inside] = label + 1 if counted else ignore
    return mask


def draw_labels(picture: Annotated, size: tuple[int, int], labels: int) -> UInt8[np.ndarray, "h w {labels}"]:
    """The mask of an image of (height, width) with a band for each label: 1 where any of its objects is.

    Crowds, and boxes without an outline, are 255 in the band of their label, but where an object of it is.

    Raises:
        DataError: an outline is neither polygons nor run lengths of the image's size.
    """
    mask = np.zeros((*size, labels), np.uint8)
    for inside, label, counted in sorted(_drawn(picture, size), key=lambda one: one[2]):
        mask[inside, label] = 1 if counted else IGNORE
    return mask


def _drawn(picture: Annotated, size: tuple[int, int]) -> Iterator[tuple[Bool[np.ndarray, "h w"], int, bool]]:
    """Where every object is, its label, and whether that counts."""
    from pycocotools import mask as rle

    for box, label, crowd, outline in zip(
        picture.boxes, picture.labels, picture.crowd, picture.segmentations, strict=True
    ):
        if not outline:
            yield _inside_box(box, size), int(label), False
            continue
        if fault := outline_fault(outline, size):
            raise DataError(f"{shown(picture.path)} has an outline that cannot be drawn ({fault}): {OUTLINE_ADVICE}.")
        yield rle.decode(packed(outline, size)) > 0, int(label), not crowd


def outlined_area(outline: Any, size: tuple[int, int]) -> int:
    """How many pixels of an image of this height and width lie within an outline as COCO's format has it."""
    from pycocotools import mask as rle

    return int(rle.area(packed(outline, size)))


def outline_fault(outline: Any, size: tuple[int, int] | None) -> str | None:
    """What keeps an outline of an image of (height, width) from being drawn, without drawing it; None where nothing.

    Where the size is not known it is not held against it.
    """
    if not outline:
        return None
    if isinstance(outline, list):
        for polygon in outline:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                return "a polygon is a list x, y, x, y, ... of at least three corners"
            if not all(is_number(value) for value in polygon):
                return "a polygon is x, y, x, y, ... of numbers"
        return None
    if not isinstance(outline, dict) or not {"size", "counts"} <= outline.keys():
        return f"it is {str(outline)[:40]!r}, and neither polygons nor run lengths with `size` and `counts`"
    given, counts = outline["size"], outline["counts"]
    if not isinstance(given, list) or len(given) != 2 or not all(type(side) is int and side > 0 for side in given):
        return f"run lengths have the size {given}, and not their rows and columns"
    if size is not None and given != list(size):
        return f"run lengths of {given} rows and columns in an image of {list(size)}"
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != given[0] * given[1]:
            return f"run lengths {str(counts)[:40]} that are not those of {given[0] * given[1]} pixels"
        return None
    return _packed_fault(counts, given[0] * given[1])


def _packed_fault(counts: Any, pixels: int) -> str | None:
    """As `outline_fault`, of run lengths that COCO's tools have packed: five bits and a sign to go on, a character."""
    if not isinstance(counts, str):
        return f"run lengths of the type {type(counts).__name__}"
    lengths: list[int] = []
    value = place = 0
    for character in counts.encode("utf-8", "replace"):
        bits = character - 48
        if not 0 <= bits < 64:
            return f"packed run lengths with the character {chr(character)!r}"
        value |= (bits & 31) << (5 * place)
        place += 1
        if not bits & 32:
            value -= (1 << (5 * place)) if bits & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))  # from the third on they are differences
            value = place = 0
    if place or min(lengths, default=-1) < 0 or sum(lengths) != pixels:
        return f"packed run lengths that are not those of {pixels} pixels"
    return None


def _inside_box(box: np.ndarray, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    x, y, width, height = box
    inside = np.zeros(size, bool)
    inside[int(np.floor(y)) : int(np.ceil(y + height)), int(np.floor(x)) : int(np.ceil(x + width))] = True
    return inside


def packed(outline: Any, size: tuple[int, int]) -> Any:
    """An outline as COCO's format has it, packed as its tools want it."""
    from pycocotools import mask as rle

    if isinstance(outline, list):
        return rle.merge(rle.frPyObjects([np.clip(one, -_FARTHEST, _FARTHEST) for one in outline], *size))
    return rle.frPyObjects(outline, *size) if isinstance(outline["counts"], list) else outline
