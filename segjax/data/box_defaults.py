"""How a detector is trained on images with boxes, worked out from the images and the boxes."""

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from segjax.data.formats.annotations import cut_splits, refuse_nothing_to_learn
from segjax.data.formats.coco import read_coco
from segjax.data.formats.images import shown
from segjax.data.formats.tools.marks import stored_size
from segjax.strict_json import frozen

LEAST_BOX = 8
"""A tenth of the boxes may be smaller than so many pixels a side where images are shrunk."""
SIDES = (256, 512)
"""Images are brought to a side between these, of those that are larger."""
_STEP = 32
"""Sides are multiples of it, so that every level of an encoder has whole cells."""
_FINE = 16
"""Where a tenth of the boxes is smaller than so many pixels a side, two centres often share a cell of stride 4."""
_LEAST_KEPT = 100
"""COCO's number of boxes of an image."""


@dataclass(frozen=True)
class BoxDefaults:
    """What is found out about images with boxes before training: plain numbers and names, which a run can keep."""

    class_names: tuple[str, ...]
    """All classes, in the order of their numbers."""
    fit: int | None
    """The side of the square that every image is fitted into whole; None for images in their own size."""
    crop: int
    """Height and width of what is trained on: all of `fit`, or a part of an image in its own size."""
    stride: Literal[2, 4]
    """Pixels in a cell of the heatmap."""
    max_boxes: int
    """Twice as many as an image has at most, and at least 100."""
    mosaic: float
    """The share of images that are put together of four: none where a tenth of the boxes is as large as half of one."""
    note: str
    """What there is, to be said aloud."""

    @classmethod
    def from_json(cls, known: dict[str, Any]) -> "BoxDefaults":
        """Make it again of what `dataclasses.asdict` gave, after JSON turned its tuples into lists."""
        return cls(**frozen(known))


def box_defaults(
    path: str | os.PathLike[str], images: str | os.PathLike[str], *, test: str | os.PathLike[str] | None = None
) -> BoxDefaults:
    """Work out how to train on a file of COCO's format.

    Images are fitted whole into the smallest square, of a side of 256 to 512 pixels or their own where they are
    smaller, in which nine tenths of the boxes have 8 pixels a side or more; a side is the root of the box's area. Where
    512 pixels are too few for that, crops are taken of images in their own size: aerial photos.

    Args:
        path: the annotations.
        images: the folder that their `file_name` starts from.
        test: another file to test on, whose boxes there is room for, too; then no image of this one is held out for
            that.

    Raises:
        DataError: the annotations have errors, or nothing to learn from.
    """
    found = read_coco(path, images)
    found.refuse()
    train, _, _ = cut_splits(found.pictures, ("val",) if test else ("val", "test"))
    refuse_nothing_to_learn(shown(path), train)
    sizes = np.array([one.size or stored_size(one.path) for one in train])
    sides = [np.sqrt(one.boxes[~one.crowd, 2:].prod(1)) / max(size) for one, size in zip(train, sizes, strict=True)]
    longer = float(np.median(sizes.max(1)))
    small, large = np.quantile(np.concatenate(sides), (0.1, 0.9)) * longer  # in the median image
    fit, crop = _input(longer, float(small), float(large))
    scale = 1.0 if fit is None else fit / longer
    tested = read_coco(test, images).pictures if test else []
    most, of_all = (max(len(one.boxes) for one in some) for some in (found.pictures, [*found.pictures, *tested]))
    boxes = sum(len(one.boxes) for one in train)
    low, high = sizes[sizes.prod(1).argsort(kind="stable")[[0, -1]]]
    spans = f"{low[1]}x{low[0]}" + ("" if (sizes == sizes[0]).all() else f" to {high[1]}x{high[0]}")
    return BoxDefaults(
        class_names=found.class_names,
        fit=fit,
        crop=crop,
        stride=2 if small * scale < _FINE else 4,
        max_boxes=max(_LEAST_KEPT, 2 * of_all),
        mosaic=0.0 if large * scale > crop / 2 else 0.5,
        note=f"{len(train)} training images of {spans} pixels have {boxes} boxes, up to {most} in one, nine tenths of "
        f"them from {small * scale:.0f} pixels a side on as they are seen.",
    )


def _input(longer: float, small: float, large: float) -> tuple[int | None, int]:
    """The side that images are fitted into, None for none, and that of what is trained on."""
    least, most = SIDES
    if small * min(1.0, most / longer) < LEAST_BOX and longer > most:
        crop = _up(2 * large)
        return None, min(max(crop, least), most)
    wanted = min(longer, max(least, LEAST_BOX / max(small, 1e-6) * longer))
    fit = min(_up(wanted), most)
    return fit, fit


def _up(side: float) -> int:
    """The next multiple of 32 pixels."""
    return max(1, int(np.ceil(side / _STEP))) * _STEP
