"""The first kernel of weights for red, green and blue, brought to images of other channels."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from segjax.errors import is_whole


def fit_first_kernel(
    kernel: Float[np.ndarray, "d 3 h w"], channels: int, rgb: Sequence[int] | None = None
) -> Float[np.ndarray, "d channels h w"]:
    """A kernel in torch's layout for images of `channels` bands.

    For one band the three are summed, as if the image were grey. Otherwise they are repeated, and scaled by
    3 / channels so that a layer after them sees the range that it knows; timm and segmentation_models_pytorch do the
    same.

    Args:
        kernel: Of red, green and blue.
        channels: Of the images.
        rgb: Which bands are red, green and blue, from 0; the others then begin with zeros, and nothing is scaled.

    Raises:
        ValueError: the kernel is not of three channels, or `rgb` does not name three different bands.

    Examples:
        >>> weights.fit_first_kernel(np.ones((8, 3, 7, 7), np.float32), channels=5).shape
        (8, 5, 7, 7)
    """
    if kernel.shape[1] != 3:
        raise ValueError(f"The kernel has shape {kernel.shape}; give one of red, green and blue, (d, 3, h, w).")
    if rgb is not None:
        if len(rgb) != 3 or len(set(rgb)) != 3 or not all(is_whole(band) and 0 <= band < channels for band in rgb):
            raise ValueError(f"rgb is {tuple(rgb)}; give three different bands of 0..{channels - 1}.")
        placed = np.zeros((kernel.shape[0], channels, *kernel.shape[2:]), kernel.dtype)
        placed[:, list(rgb)] = kernel
        return placed
    if channels == 1:
        return kernel.sum(1, keepdims=True)
    repeated = kernel[:, [i % 3 for i in range(channels)]]
    return repeated if channels == 3 else repeated * np.asarray(3 / channels, kernel.dtype)
