"""Masks drawn of the outlines that COCO's format gives to objects: polygons, or run lengths plain or packed."""

from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from segjax.data.formats.annotations import Annotated
from segjax.data.formats.images import shown
from segjax.data.record import IGNORE
from segjax.errors import DataError


def draw_mask(picture: Annotated, size: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """The mask of an image of (height, width): every object's label + 1, smaller ones upon larger ones.

    Crowds, and boxes without an outline, are 255.

    Raises:
        DataError: an outline is neither polygons nor run lengths of the image's size.
    """
    drawn = []
    for box, label, crowd, outline in zip(
        picture.boxes, picture.labels, picture.crowd, picture.segmentations, strict=True
    ):
        if not outline:
            drawn.append((_inside_box(box, size), IGNORE))
            continue
        try:
            inside = _inside(outline, size)
        except Exception as error:  # whatever pycocotools says of what is no outline
            raise DataError(
                f"{shown(picture.path)} has an outline that cannot be drawn ({error}): give polygons of at least three "
                f"corners, or run lengths of {size[0]} rows and {size[1]} columns."
            ) from error
        drawn.append((inside, IGNORE if crowd else label + 1))
    mask = np.zeros(size, np.uint8)
    for inside, value in sorted(drawn, key=lambda one: -one[0].sum()):
        mask[inside] = value
    return mask


def _inside_box(box: np.ndarray, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    x, y, width, height = box
    inside = np.zeros(size, bool)
    inside[int(np.floor(y)) : int(np.ceil(y + height)), int(np.floor(x)) : int(np.ceil(x + width))] = True
    return inside


def _inside(outline: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    from pycocotools import mask as rle

    height, width = size
    if isinstance(outline, list):
        corners = [np.asarray(polygon, float) for polygon in outline]
        if any(one.ndim != 1 or len(one) < 6 or len(one) % 2 or not np.isfinite(one).all() for one in corners):
            raise ValueError("a polygon is x, y, x, y, ... of numbers")
        packed = rle.merge(rle.frPyObjects([one.tolist() for one in corners], height, width))
    elif list(outline["size"]) != [height, width]:
        raise ValueError(f"run lengths of {outline['size']} rows and columns")
    elif isinstance(outline["counts"], list):
        if sum(outline["counts"]) != height * width or min(outline["counts"]) < 0:
            raise ValueError(f"run lengths of {sum(outline['counts'])} pixels")
        packed = rle.frPyObjects(outline, height, width)
    else:
        packed = outline
    return rle.decode(packed) > 0
