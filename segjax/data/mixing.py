"""New records made of several: mosaic, copy-paste, CutMix and MixUp.

What is pasted brings its own mask, with what it ignores, and its own boxes; of a box of which less than half is left,
nothing is.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from segjax.data.augment import LEAST_OF_BOX, Augment
from segjax.data.record import Record
from segjax.errors import DataError
from segjax.mask_numbers import ignored_in

Another = Callable[[], Record]
"""Draws another record of the split, augmented alike."""


def mixed(record: Record, another: Another, augment: Augment, rng: np.random.Generator, max_boxes: int) -> Record:
    """The record with what `augment` has of others put into it, at random; not where that makes too many boxes.

    Raises:
        DataError: the records differ in size, or have boxes where only masks can be mixed.
    """
    for share, mix, count in (
        (augment.mosaic, mosaic, 3),
        (augment.copy_paste, copy_paste, 1),
        (augment.cutmix, cutmix, 1),
    ):
        if share and rng.random() < share:
            changed = mix(record, [another() for _ in range(count)], rng)
            if "boxes" not in changed or len(changed["boxes"]) <= max_boxes:
                record = changed
    return record


def mosaic(record: Record, others: list[Record], rng: np.random.Generator) -> Record:
    """Four records, each seen in one of the four parts around a point of the image (Bochkovskiy et al. 2020)."""
    size = height, width = record["image"].shape[:2]
    y, x = (int(rng.uniform(0.25, 0.75) * side) for side in size)
    parts = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    return _pasted(record, [(other, _rectangle(size, *part)) for other, part in zip(others, parts[1:], strict=True)])


def cutmix(record: Record, others: list[Record], rng: np.random.Generator) -> Record:
    """One rectangle of another record in its place, of an area of up to all (Yun et al. 2019)."""
    (other,), (height, width) = others, record["image"].shape[:2]
    side = np.sqrt(rng.random())  # so that its share of the area is uniform
    y, x = rng.integers(height), rng.integers(width)
    down, across = side * height / 2, side * width / 2
    left, right = int(max(x - across, 0)), int(min(x + across, width))
    top, bottom = int(max(y - down, 0)), int(min(y + down, height))
    return _pasted(record, [(other, _rectangle((height, width), left, top, right, bottom))])


def copy_paste(record: Record, others: list[Record], rng: np.random.Generator) -> Record:
    """Half of the objects of another record upon this one, or one where it has one.

    Objects are boxes with all that is in them (Ghiasi et al. 2021, with boxes for their masks); of records without
    boxes they are all pixels of a class (Olsson et al. 2021) but the first, or of a label.
    """
    (other,) = others
    if "boxes" in other:
        counted = ~other["crowd"] if "crowd" in other else np.ones(len(other["boxes"]), bool)
        boxes = other["boxes"][counted]
        inside = np.zeros(record["image"].shape[:2], bool)
        for place in _half(len(boxes), rng):
            inside[_pixels_of(boxes[place])] = True
        return _pasted(record, [(other, inside)])
    mask = other["mask"]
    if mask.ndim == 3:
        there = np.flatnonzero((mask == 1).any(axis=(0, 1)))
        inside = (mask[..., there[_half(len(there), rng)]] == 1).any(axis=2)
    else:
        there = np.setdiff1d(mask, (0, ignored_in(mask)))
        inside = np.isin(mask, there[_half(len(there), rng)])
    return _pasted(record, [(other, inside)])


def mixup(record: Record, other: Record, share: float) -> Record:
    """The image as a weighted mean of two (Zhang et al. 2018); its mask stays, and `other`'s is for the loss.

    Raises:
        DataError: there are boxes, or the two differ in size.
    """
    _refuse_other_sizes(record, other)
    if "boxes" in record:
        raise DataError("MixUp is of masks: leave mixup out where there are boxes.")
    image = cv2.addWeighted(record["image"], share, other["image"], 1 - share, 0)
    return {**record, "image": image.reshape(record["image"].shape)}


def _half(count: int, rng: np.random.Generator) -> np.ndarray:
    """Which of so many: half of them, at least one of any."""
    return rng.permutation(count)[: (count + 1) // 2]


def _rectangle(size: tuple[int, ...], left: int, top: int, right: int, bottom: int) -> Bool[np.ndarray, "h w"]:
    """Which pixels of an image of (height, width) it has."""
    inside = np.zeros(size, bool)
    inside[top:bottom, left:right] = True
    return inside


def _pasted(record: Record, others: list[tuple[Record, Bool[np.ndarray, "h w"]]]) -> Record:
    """With what each of the others has there: its pixels, its mask, and all of its boxes that are seen, crowds too.

    All at once, since what several hide of a box together may be more than half, or a side, where that of none is.
    """
    changed: Record = {**record}
    own = np.ones(record["image"].shape[:2], bool)
    for other, inside in others:
        _refuse_other_sizes(record, other)
        changed["image"] = np.where(inside[..., None], other["image"], changed["image"])
        if "mask" in record:
            of_mask = inside if record["mask"].ndim == 2 else inside[..., None]
            changed["mask"] = np.where(of_mask, other["mask"], changed["mask"])
        own &= ~inside
    if "boxes" in record:
        parts = [(record, own), *others]
        seen = [_seen(part["boxes"], visible) for part, visible in parts]
        changed["boxes"] = np.concatenate([boxes for boxes, _ in seen])
        for name in ("labels", "crowd", "attributes"):
            if name in record:
                kept = [part[name][stays] for (part, _), (_, stays) in zip(parts, seen, strict=True)]
                changed[name] = np.concatenate(kept)
    return changed


def _seen(
    boxes: Float32[np.ndarray, "m 4"], visible: Bool[np.ndarray, "h w"]
) -> tuple[Float32[np.ndarray, "k 4"], Bool[np.ndarray, " m"]]:
    """Boxes around what of each is visible, and which those are."""
    found, kept = [], np.zeros(len(boxes), bool)
    for row, box in enumerate(boxes):
        part = visible[_pixels_of(box)]
        kept[row] = bool(part.size) and part.mean() >= LEAST_OF_BOX
        if kept[row]:
            ys, xs = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
            corner = np.floor(box[:2])
            low = np.maximum(box[:2], corner + np.array([xs[0], ys[0]]))
            high = np.minimum(box[:2] + box[2:], corner + np.array([xs[-1], ys[-1]]) + 1)
            found.append(np.concatenate([low, high - low]))
    return np.array(found, np.float32).reshape(-1, 4), kept


def _pixels_of(box: Float32[np.ndarray, " 4"]) -> tuple[slice, slice]:
    """The rows and columns that a box touches."""
    (left, top), (right, bottom) = np.floor(box[:2]).astype(int), np.ceil(box[:2] + box[2:]).astype(int)
    return slice(max(int(top), 0), int(bottom)), slice(max(int(left), 0), int(right))


def _refuse_other_sizes(record: Record, other: Record) -> None:
    if record["image"].shape != other["image"].shape or record["image"].dtype != other["image"].dtype:
        raise DataError(
            f"Images of {record['image'].shape} and {other['image'].shape} cannot be mixed: bring them to one size "
            "by a crop."
        )
