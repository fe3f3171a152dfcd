"""Images as cameras and files spoil them: ImageNet-C's noise, blur and JPEG, at two of its five severities.

The strengths are those of Hendrycks and Dietterich 2019 for images of 224 pixels, whatever the size here.
"""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from scipy import ndimage

Images = UInt8[np.ndarray, "n h w c"]


def noisy(images: Images, deviation: float) -> Images:
    """With Gaussian noise of that standard deviation, of 1 for white; the same for the same images each time."""
    noise = np.random.default_rng(0).normal(0, 255 * deviation, images.shape)
    return np.clip(np.round(images + noise), 0, 255).astype(np.uint8)


def blurred(images: Images, deviation: float) -> Images:
    """By a Gaussian of that many pixels, the border repeated."""
    smooth = ndimage.gaussian_filter(images.astype(np.float32), (0, deviation, deviation, 0), mode="nearest")
    return np.round(smooth).astype(np.uint8)


def compressed(images: Images, quality: int) -> Images:
    """As JPEG files of that quality, each read again."""

    def again(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return np.stack([again(image) for image in images])


CORRUPTIONS: dict[str, Callable[[Images], Images]] = {
    "noise_1": partial(noisy, deviation=0.08),
    "noise_3": partial(noisy, deviation=0.18),
    "blur_1": partial(blurred, deviation=1.0),
    "blur_3": partial(blurred, deviation=3.0),
    "jpeg_1": partial(compressed, quality=25),
    "jpeg_3": partial(compressed, quality=15),
}
"""By name and severity."""
