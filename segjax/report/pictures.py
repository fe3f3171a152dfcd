"""Images inside of a page."""

import base64
import io

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

LONGEST = 384
"""A larger image is shown smaller: its longer side gets this many pixels."""
EXACT = 128
"""An image up to this long is kept without loss, since its pixels will be seen one by one."""


def data_uri(image: UInt8[np.ndarray, "h w 3"]) -> str:
    """The image as WebP inside of an address, some ten kilobytes."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > LONGEST:
        size = max(1, round(width * LONGEST / longer)), max(1, round(height * LONGEST / longer))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=longer <= EXACT, quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
