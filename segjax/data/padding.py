"""The room that an image gets around it, so that few programs are compiled for images of many sizes."""

import numpy as np
from jaxtyping import Shaped

SMALL = 64
"""Up to this many pixels a side goes up to the next multiple of 8, beyond them of 32."""


def side_for(length: int) -> int:
    """The length that a side of an image is brought to."""
    step = 8 if length <= SMALL else 32
    return -(-length // step) * step


def padded(image: Shaped[np.ndarray, "h w *c"], size: tuple[int, int] | None = None) -> Shaped[np.ndarray, "H W *c"]:
    """The image with its last row and column repeated up to `size`, by default to where `side_for` brings its sides.

    This depends on the image alone, and not on what it is in a batch with: whoever scores and whoever predicts shows a
    model the same pixels.
    """
    height, width = image.shape[:2]
    rows, columns = size or (side_for(height), side_for(width))
    if (rows, columns) == (height, width):
        return image
    return np.pad(image, ((0, rows - height), (0, columns - width), *((0, 0),) * (image.ndim - 2)), "edge")
