"""OpenCV's remap of images of any size: by itself it takes sides below 32,767 pixels."""

import cv2
import numpy as np
from jaxtyping import Float32, Shaped

LIMIT = 2**15 - 1
_PART = 2**13


def remapped(
    pixels: Shaped[np.ndarray, "h w c"],
    places: Float32[np.ndarray, "H W 2"],
    flags: int,
    border: int,
    value: tuple[int, ...],
) -> Shaped[np.ndarray, "H W *c"]:
    """The image at x and y of every pixel of the result, both counted from the centre of the first pixel."""
    if max(*pixels.shape[:2], *places.shape[:2]) < LIMIT:
        return cv2.remap(pixels, places, None, flags, borderMode=border, borderValue=value)  # type: ignore[call-overload]
    # In parts of the result, each from the part of the image that it looks at; a pixel more is interpolated with.
    result = np.empty((*places.shape[:2], *pixels.shape[2:]), pixels.dtype)
    for top in range(0, len(places), _PART):
        for left in range(0, places.shape[1], _PART):
            rows, columns = slice(top, top + _PART), slice(left, left + _PART)
            there = places[rows, columns]
            last = np.array([pixels.shape[1], pixels.shape[0]]) - 1
            first = (np.floor(there.min(axis=(0, 1))).astype(int) - 1).clip(0, last)
            first -= first % 2  # so that halves are rounded to the same pixel as in the whole
            end = (np.ceil(there.max(axis=(0, 1))).astype(int) + 2).clip(first + 1, last + 1)
            part = pixels[first[1] : end[1], first[0] : end[0]]
            moved = cv2.remap(part, there - first.astype(np.float32), None, flags, borderMode=border, borderValue=value)  # type: ignore[call-overload]
            result[rows, columns] = moved.reshape(*there.shape[:2], *pixels.shape[2:])
    return result
