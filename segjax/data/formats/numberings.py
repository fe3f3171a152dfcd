"""Data sets whose masks hold other numbers than those of the classes that are trained: Cityscapes and ADE20K."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from segjax.data.formats.classes import ClassList, Colour, voc_palette
from segjax.data.formats.images import shown
from segjax.data.record import IGNORE
from segjax.errors import DataError

ADE_CLASSES = "objectInfo150.txt"
TRAIN_IDS, IDS = "_gtFine_labelTrainIds", "_gtFine_labelIds"
"""What the names of Cityscapes' masks end with: numbers of the 19 classes, and of all that is labelled."""

_CITYSCAPES: tuple[tuple[int, str, Colour], ...] = (
    (7, "road", (128, 64, 128)), (8, "sidewalk", (244, 35, 232)), (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)), (13, "fence", (190, 153, 153)), (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)), (20, "traffic sign", (220, 220, 0)), (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)), (23, "sky", (70, 130, 180)), (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)), (26, "car", (0, 0, 142)), (27, "truck", (0, 0, 70)), (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)), (32, "motorcycle", (0, 0, 230)), (33, "bicycle", (119, 11, 32)),
)  # fmt: skip


def cityscapes_classes() -> ClassList:
    """The 19 classes that Cityscapes scores (Cordts et al. 2016), in the order of its train ids."""
    return ClassList(tuple(name for _, name, _ in _CITYSCAPES), tuple(colour for *_, colour in _CITYSCAPES), {})


def cityscapes_levels() -> UInt8[np.ndarray, " 256"]:
    """The class of each of Cityscapes' ids; all that it does not score is ignored."""
    return _levels({number: place for place, (number, *_) in enumerate(_CITYSCAPES)})


def read_ade_classes(path: Path) -> ClassList:
    """The 150 classes of ADE20K's scene parsing (Zhou et al. 2017), by their first names.

    Raises:
        DataError: a line is no number and name, the numbers are not those from 1 on, or there are too many.
    """
    try:
        rows = [line.split("\t") for line in path.read_text("utf-8-sig").splitlines()[1:] if line.strip()]
        numbered = sorted((int(row[0]), row[-1].strip()) for row in rows)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)} does not list a number and a name a line ({error}): copy it again.") from None
    if [number for number, _ in numbered] != list(range(1, len(numbered) + 1)) or len(numbered) < 2:
        raise DataError(f"{shown(path)} does not number its classes 1, 2, 3, ...: copy it again.")
    if len(numbered) >= IGNORE:
        raise DataError(f"{shown(path)} has {len(numbered)} classes, which masks of 8 bits do not hold: give 254.")
    first = [name.split(",")[0] for _, name in numbered]
    names = [one if first.count(one) == 1 else name for one, (_, name) in zip(first, numbered, strict=True)]
    return ClassList(tuple(names), voc_palette(len(names)), {})


def ade_levels(classes: int) -> UInt8[np.ndarray, " 256"]:
    """The class of each number of ADE20K's masks: 0 is what has no class, and is ignored."""
    return _levels({place + 1: place for place in range(classes)})


def _levels(numbers: Mapping[int, int]) -> UInt8[np.ndarray, " 256"]:
    levels = np.full(256, IGNORE, np.uint8)
    levels[list(numbers)] = list(numbers.values())
    return levels
