"""Of which whole numbers masks are made, and which of them is ignored: bytes as long as those hold all classes."""

import functools
from typing import Any

import numpy as np

MOST_CLASSES = 65_535
"""More no mask holds: 0 to 65534, the background among them; all bits of 16 are what is ignored."""


def mask_type(num_classes: int) -> np.dtype:
    """The type of masks of that many classes: uint8 up to 255, uint16 beyond.

    Raises:
        ValueError: more than `MOST_CLASSES`.

    Examples:
        >>> data.mask_type(255).name, data.mask_type(256).name
        ('uint8', 'uint16')
    """
    if num_classes > MOST_CLASSES:
        raise ValueError(f"A mask holds at most {MOST_CLASSES} classes, not {num_classes}.")
    return np.dtype(np.uint8 if num_classes <= np.iinfo(np.uint8).max else np.uint16)


def ignored(num_classes: int) -> int:
    """What pixels that neither train nor score are in masks of so many classes: 255, or 65535 beyond 255 classes.

    Raises:
        ValueError: more than `MOST_CLASSES`.

    Examples:
        >>> data.ignored(2), data.ignored(300)
        (255, 65535)
    """
    return int(np.iinfo(mask_type(num_classes)).max)


def is_counted(mask: Any, num_classes: int, ignore: int | None = None) -> Any:
    """Where pixels of a mask train and score, as booleans: not what is `ignored`, or `ignore`, and nothing below 0."""
    return (mask != (ignored(num_classes) if ignore is None else ignore)) & (mask >= 0)


def refuse_fractions(**maps: Any) -> None:
    """Refuse what is no map of integers, by its name: a class that was cast or interpolated is another one.

    Raises:
        ValueError: for the first of them.
    """
    for name, one in maps.items():
        if one.dtype.kind not in "iu":
            raise ValueError(f"the {name} has dtype {one.dtype}: expected an integer class for each pixel.")


def refuse_other_maps(*, prediction: Any, mask: Any) -> None:
    """Refuse what are not two maps (n h w) of one shape, of integers: the rows of one image are no images.

    Raises:
        ValueError: they are not.
    """
    if prediction.shape != mask.shape or mask.ndim != 3:
        raise ValueError(
            f"the prediction has shape {prediction.shape} and the mask {mask.shape}: expected (n, h, w) twice."
        )
    refuse_fractions(prediction=prediction, mask=mask)


def ignored_in(mask: np.ndarray) -> int:
    """The same, of a mask of `mask_type`."""
    return _greatest(mask.dtype)


@functools.cache
def _greatest(dtype: np.dtype) -> int:
    return int(np.iinfo(dtype).max)
