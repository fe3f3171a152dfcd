"""Images that an export is made and compared with, in the size that it takes."""

from collections.abc import Sequence

import numpy as np

from segjax.errors import ExportError
from segjax.export.program import Program


def batches(images: Sequence[np.ndarray], program: Program) -> list[np.ndarray]:
    """The images in the program's size, in one batch; or each in its own size, up to multiples of 32.

    Raises:
        ExportError: none, or one that the model does not take.
    """
    if len(images) == 0:  # of images in one array, too
        raise ExportError("An export is compared with the model on real images: give at least one.")
    for image in images:
        if image.ndim != 3 or image.shape[2] != program.channels or image.dtype != program.stored:
            raise ExportError(
                f"The model takes images (h, w, {program.channels}) of {program.stored}, and one to compare on is "
                f"{image.shape} of {image.dtype}: give such as it was trained on."
            )
    if program.size is None:
        return [fitted(image, (-(-image.shape[0] // 32) * 32, -(-image.shape[1] // 32) * 32))[None] for image in images]
    return [np.stack([fitted(image, program.size) for image in images])]


def fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of the image (h w c), its edge repeated where it is smaller."""
    for axis, length in enumerate(size):
        start = max(0, image.shape[axis] - length) // 2
        image = np.take(image, range(start, min(start + length, image.shape[axis])), axis)
    return np.pad(image, [*((0, length - own) for length, own in zip(size, image.shape, strict=False)), (0, 0)], "edge")
