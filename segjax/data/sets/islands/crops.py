"""Crops of one island or lake each, and tiles with all of them, out of the image of the Earth."""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from segjax.data.record import IGNORE, Split
from segjax.data.sets.blue_marble import row_of
from segjax.data.sets.islands.objects import (
    BAND,
    LONGER_SIDE,
    NORTH,
    SOUTH,
    Earth,
    Object,
    band_of,
    split_of,
)

CROP = 64
CROPS: dict[Split, tuple[int, int]] = {"train": (12, 24), "val": (3, 5), "test": (3, 5)}
"""Crops of every island and of every lake, so that the classes come about equally often."""
SHARE = (0.22, 0.7)
"""How much of a crop's side the longer side of its object takes."""
LEAST_SOURCE = 32
"""A crop has at least so many pixels of the image on a side: it is magnified twice at most."""
MARGIN = 0.03
"""How far from the border of a crop its object stays, as a share of the crop's side."""
TRIES = 40
"""How often another place is tried for a crop that shows other objects too."""

TILE = 192
TILE_ROWS = 10
TILE_COLUMNS = 2
"""Tiles in a band; they do not touch."""
LEAST_LAND = 0.01
LEAST_IN_TILE = 0.5
"""A tile's object of which less than this is in it is neither trained on nor scored."""


class Example(NamedTuple):
    """What a record is made of, and where the image is."""

    name: str
    image: UInt8[np.ndarray, "h w 3"]
    mask: UInt8[np.ndarray, "h w"]
    boxes: Float32[np.ndarray, "m 4"]
    labels: Int32[np.ndarray, " m"]
    crowd: Bool[np.ndarray, " m"]
    x: float
    """Of the image's middle, in pixels of the whole image."""
    y: float


class Window(NamedTuple):
    """A square of the whole image, by its upper left pixel."""

    x: int
    y: int
    side: int

    @property
    def pixels(self) -> tuple[slice, slice]:
        """The rows and the columns of it."""
        return np.s_[self.y : self.y + self.side, self.x : self.x + self.side]


def crops(earth: Earth, objects: list[Object], split: Split) -> Iterator[Example]:
    """Crops of 64 x 64 pixels, each with one object that can be seen, of random size and place in it.

    There is nothing in it of another island or lake that has more than a third of the object's area there. What is
    longer than 250 pixels is no island here, but a coast.
    """
    for one in objects:
        band = band_of(one.x, one.width)
        if not one.seen or band is None or split_of(band) != split:
            continue
        rng = np.random.default_rng((one.label, one.x, one.y))
        wanted = CROPS[split][one.label]
        found = 0
        for _ in range(TRIES * wanted):
            window = _draw_window(one, band, rng)
            if window and not _crowded(earth, one, window):
                yield _crop(earth, one, window, f"{one.label}-{one.number}-{found}")
                found += 1
            if found == wanted:
                break


def _draw_window(one: Object, band: int, rng: np.random.Generator) -> Window | None:
    """A random window around an object and within its band; None where there is no room for it."""
    low, high = max(LEAST_SOURCE, one.longer / SHARE[1]), min(BAND, one.longer / SHARE[0])
    if low > high:
        return None
    side = round(np.exp(rng.uniform(np.log(low), np.log(high))))
    margin = int(np.ceil(MARGIN * side))
    left = max(one.x + one.width + margin - side, band * BAND), min(one.x - margin, (band + 1) * BAND - side)
    top = max(one.y + one.height + margin - side, 0), one.y - margin  # the South Pole is far away
    if left[0] > left[1] or top[0] > top[1]:
        return None
    return Window(int(rng.integers(*left, endpoint=True)), int(rng.integers(*top, endpoint=True)), side)


def _crowded(earth: Earth, one: Object, window: Window) -> bool:
    for label, (numbers, stats) in enumerate(zip(earth.numbers, earth.stats, strict=True)):
        areas = np.bincount(numbers[window.pixels].ravel())
        inside = np.flatnonzero(areas)
        other = (inside > 0) & ((inside != one.number) | (label != one.label))
        longer = np.maximum(stats[inside, cv2.CC_STAT_WIDTH], stats[inside, cv2.CC_STAT_HEIGHT])
        if (other & (longer <= LONGER_SIDE[1]) & (areas[inside] > one.area / 3)).any():
            return True
    return False


def _crop(earth: Earth, one: Object, window: Window, name: str) -> Example:
    # Its own share of a pixel, with that of the mixed pixels of its shore.
    own = (earth.numbers[one.label][window.pixels] == one.number).astype(np.uint8)
    near = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
    others = (earth.numbers[one.label][window.pixels] > 0) & (own == 0)
    share = np.where(near & ~others, earth.share[one.label][window.pixels], 0).astype(np.uint8)
    how = cv2.INTER_AREA if window.side > CROP else cv2.INTER_LINEAR
    image = cv2.resize(earth.image[window.pixels], (CROP, CROP), interpolation=how)
    inside = cv2.resize(share, (CROP, CROP), interpolation=how) > 127
    middle = window.side / 2
    return Example(
        name,
        image,
        np.where(inside, one.label + 1, 0).astype(np.uint8),
        np.array([box_around(inside)], np.float32),
        np.array([one.label], np.int32),
        np.array([False]),
        window.x + middle,
        window.y + middle,
    )


def box_around(inside: Bool[np.ndarray, "h w"]) -> tuple[int, int, int, int]:
    """The box (x, y, w, h) around what is true; all zeros where nothing is."""
    x, y, width, height = cv2.boundingRect(inside.astype(np.uint8))
    return x, y, width, height


def tiles(earth: Earth, objects: list[Object], split: Split) -> Iterator[Example]:
    """Tiles of 192 x 192 pixels with all islands and lakes that are at least half in them.

    Those that cannot be seen, and those of which more than half is outside, are `crowd` and 255 in the mask. Tiles for
    training overlap by half and have at least one object; the others do not touch, and have land.
    """
    dense = 2 if split == "train" else 1
    north, south = row_of(NORTH), row_of(SOUTH)
    row_step, column_step = (south - north) / TILE_ROWS, BAND / TILE_COLUMNS
    for band in range(earth.image.shape[1] // BAND):
        if split_of(band) != split:
            continue
        for row in np.arange(0, TILE_ROWS - 1 + 1e-6, 1 / dense):
            for column in np.arange(0, TILE_COLUMNS - 1 + 1e-6, 1 / dense):
                x = band * BAND + round((column_step - TILE) / 2 + column * column_step)
                y = north + round((row_step - TILE) / 2 + row * row_step)
                example = _tile(earth, objects, Window(x, y, TILE))
                land = (earth.share[0][y : y + TILE, x : x + TILE] > 127).mean()
                if (~example.crowd).any() or (split != "train" and land >= LEAST_LAND):
                    yield example


def _tile(earth: Earth, objects: list[Object], window: Window) -> Example:
    boxes, labels, crowd = [], [], []
    mask = np.zeros((TILE, TILE), np.uint8)
    for one in objects:
        outside = (
            one.x + one.width <= window.x or one.x >= window.x + TILE or one.y + one.height <= window.y
            or one.y >= window.y + TILE
        )  # fmt: skip
        if outside:
            continue
        inside = earth.numbers[one.label][window.pixels] == one.number
        if not inside.any():
            continue
        good = one.seen and inside.sum() >= LEAST_IN_TILE * one.area
        mask[inside] = one.label + 1 if good else IGNORE
        boxes.append(box_around(inside))
        labels.append(one.label)
        crowd.append(not good)
    return Example(
        f"{window.x}-{window.y}",
        earth.image[window.pixels],
        mask,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        np.array(crowd, bool),
        window.x + TILE / 2,
        window.y + TILE / 2,
    )
