"""What sensors, lenses and files do to an image, at any depth and for any number of bands; masks and boxes stay."""

import cv2
import numpy as np
from jaxtyping import Float32, Num

from segjax.errors import DataError

Image = Num[np.ndarray, "h w c"]


def with_gamma(image: Image, exponent: float) -> Image:
    """The image with every number to a power, as shares of the way from 0, or its lowest number, to its highest.

    Of floating point that is so for each band by itself, since bands may be in units of their own.
    """
    if image.dtype.kind == "f":
        low, high = np.minimum(image.min(axis=(0, 1)), 0), image.max(axis=(0, 1))
        span = np.where(high > low, high - low, 1)  # a band of one number, which is not above 0, stays
        return (((image - low) / span) ** np.float32(exponent) * span + low).astype(image.dtype)
    high = float(image.max())
    if not high:
        return image
    if image.dtype == np.uint8:
        table = (np.arange(256) / high).clip(0, 1) ** exponent * high
        return cv2.LUT(image, np.rint(table).astype(np.uint8)).reshape(image.shape)
    return _as(image, (image / np.float32(high)) ** np.float32(exponent) * high)


def blurred(image: Image, sigma: float) -> Image:
    """The image under a Gaussian of that deviation in pixels."""
    bands = [cv2.GaussianBlur(np.ascontiguousarray(band), (0, 0), sigma) for band in np.moveaxis(image, 2, 0)]
    return np.stack(bands, axis=2)


def noisy(image: Image, share: float, rng: np.random.Generator) -> Image:
    """The image with Gaussian noise, whose deviation is a share of that of each band."""
    deviation = cv2.meanStdDev(image)[1][:, 0].astype(np.float32)  # summed in float64, which NumPy's float32 is not
    return _as(image, image + rng.standard_normal(image.shape, np.float32) * np.float32(share) * deviation)


def as_jpeg(image: Image, quality: int) -> Image:
    """What JPEG makes of an image of 8 bits.

    Raises:
        DataError: it is another, or of other bands, which no JPEG holds.
    """
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        raise DataError(
            f"An image of {image.dtype} and {image.shape[2]} bands cannot be a JPEG: leave jpeg out of what augments."
        )
    # In the order of colours that OpenCV writes and reads, since brightness is kept better than colour.
    order = slice(None, None, -1)
    coded = cv2.imencode(".jpg", image[..., order], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_UNCHANGED))
    return np.ascontiguousarray(decoded.reshape(image.shape)[..., order])


def smooth_displacement(
    size: tuple[int, ...], greatest: float, rng: np.random.Generator
) -> Float32[np.ndarray, "h w 2"]:
    """How far each pixel of (height, width) is moved in x and y: cubic between random knots 32 pixels apart."""
    knots = rng.uniform(-greatest, greatest, (size[0] // 32 + 3, size[1] // 32 + 3, 2)).astype(np.float32)
    bent = cv2.resize(knots, (32 * knots.shape[1], 32 * knots.shape[0]), interpolation=cv2.INTER_CUBIC)
    return bent[32 : 32 + size[0], 32 : 32 + size[1]].clip(-greatest, greatest)  # cubics go beyond their knots


def _as(image: Image, values: np.ndarray) -> Image:
    if image.dtype.kind == "f":
        return values.astype(image.dtype)
    return np.rint(values).clip(0, np.iinfo(image.dtype).max).astype(image.dtype)
