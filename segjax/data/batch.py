"""What a batch holds, and records put together into one."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
from jaxtyping import Bool, Float32, Int32, Num, UInt

from segjax.data.mixing import mixup
from segjax.data.padding import padded, side_for
from segjax.data.record import Record
from segjax.errors import DataError
from segjax.mask_numbers import ignored_in

MAX_BOXES = 128
"""How many boxes of an image a batch has room for, unless told."""


class Batch(TypedDict):
    """Images of one size with what their records have; rows of boxes are filled up to `max_boxes` with zeros."""

    image: Num[np.ndarray, "n h w c"]
    """uint8, uint16 or float32, as the records have it."""
    mask: NotRequired[UInt[np.ndarray, "n h w *k"]]
    boxes: NotRequired[Float32[np.ndarray, "n m 4"]]
    """(x, y, w, h) in pixels."""
    labels: NotRequired[Int32[np.ndarray, "n m"]]
    """With boxes: the class of every one, -1 where there is none."""
    crowd: NotRequired[Bool[np.ndarray, "n m"]]
    """With boxes: the ones that neither train nor score, although they have a class."""
    valid: NotRequired[Bool[np.ndarray, " n"]]
    """With boxes: whether there is a record in this place, which may well have no box."""
    size: NotRequired[Int32[np.ndarray, "n 2"]]
    """With boxes: height and width of the record's image, which the batch may have room around; 0 without a record."""
    other_mask: NotRequired[UInt[np.ndarray, "n h w *k"]]
    """Of MixUp: the mask of what is mixed into each image."""
    share: NotRequired[Float32[np.ndarray, " n"]]
    """Of MixUp: the weight of `mask`, the same for all of a batch; that of `other_mask` is what is left of 1."""
    attributes: NotRequired[Float32[np.ndarray, "n m a"]]
    """NaN where nobody gave a score and where there is no box."""


def room_for(record: Record) -> tuple[int, ...]:
    """The shape (h w c) of the place that a record's image gets in a batch for testing."""
    height, width, channels = record["image"].shape
    return side_for(height), side_for(width), channels


def empty(example: Record, batch_size: int, shape: tuple[int, ...], max_boxes: int) -> Batch:
    """A batch of nothing, with room for records that have what the example has."""
    batch = Batch(image=np.zeros((batch_size, *shape), example["image"].dtype))
    if "mask" in example:
        mask = example["mask"]
        batch["mask"] = np.full((batch_size, *shape[:2], *mask.shape[2:]), ignored_in(mask), mask.dtype)
    if "boxes" in example:
        batch["boxes"] = np.zeros((batch_size, max_boxes, 4), np.float32)
        batch["labels"] = np.full((batch_size, max_boxes), -1, np.int32)
        batch["crowd"] = np.zeros((batch_size, max_boxes), bool)
        batch["valid"] = np.zeros(batch_size, bool)
        batch["size"] = np.zeros((batch_size, 2), np.int32)
        if "attributes" in example:
            attributes = example["attributes"].shape[1]
            batch["attributes"] = np.full((batch_size, max_boxes, attributes), np.nan, np.float32)
    return batch


def fill(batch: Batch, records: Sequence[tuple[int, Record]]) -> Batch:
    """The batch with records, of which the source's numbers are given too, in its first places.

    Raises:
        DataError: a record has another type than the others, or more boxes than there is room for.
    """
    for place, (number, record) in enumerate(records):
        height, width = record["image"].shape[:2]
        for what in ("image", "mask"):
            if what in batch and record[what].dtype != batch[what].dtype:
                types = f"{record[what].dtype}, and others of its batch {batch[what].dtype}"
                raise DataError(f"Record {number} has its {what} in {types}: save all {what}s of a set as one type.")
        batch["image"][place] = padded(record["image"], batch["image"].shape[1:3])
        if "mask" in batch:
            batch["mask"][place, :height, :width] = record["mask"]
        if "boxes" in batch:
            batch["valid"][place] = True
            batch["size"][place] = height, width
            count, most = len(record["boxes"]), batch["boxes"].shape[1]
            if count > most:
                raise DataError(f"Record {number} has {count} boxes and a batch has room for {most}: raise max_boxes.")
            for name in ("boxes", "labels", "crowd", "attributes"):
                if name in batch and name in record:
                    batch[name][place, :count] = record[name]
    return batch


def mixed_up(together: Sequence[tuple[int, Record, Record | None]], share: float, max_boxes: int) -> Batch:
    """A batch of pairs of records by MixUp."""
    pairs = [(index, record, other) for index, record, other in together if other is not None]
    records = [(index, mixup(record, other, share)) for index, record, other in pairs]
    batch = fill(empty(records[0][1], len(records), records[0][1]["image"].shape, max_boxes), records)
    batch["other_mask"] = np.stack([other["mask"] for _, _, other in pairs])
    batch["share"] = np.full(len(records), share, np.float32)
    return batch
