"""A picture with boxes drawn on it, the class and the scores of each beside it, for people to look at."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import matplotlib
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from segjax.inference.overlay import LONGEST, Palette

SHORTEST = 640
"""A smaller picture is drawn larger: its pixels are repeated while its longer side stays within this many."""
_LETTERS = 30
"""The height of the letters is this fraction of the picture's longer side, and 11 pixels at least."""


class Note(NamedTuple):
    """A box to draw and what to write beside it."""

    box: Sequence[float]
    """(x, y, w, h) in pixels of the image."""
    lines: Sequence[str]
    """The first is written on the class's colour, the others below it."""
    label: int
    """The class, which is an index of the palette."""
    dashed: bool = False


def notes(
    found: Any, class_names: Sequence[str], attribute_names: Sequence[str] = (), *, least: float = 0.0
) -> list[Note]:
    """What to draw of one image's `Detections` (without the axis of images), of those scored `least` or better.

    Beside each box its class and score; below that, the scores of all attributes, or where there are none and at least
    three classes, of all classes: the greatest first.
    """
    made = []
    for i in np.flatnonzero((np.asarray(found.labels) >= 0) & (np.asarray(found.scores) >= least)):
        label = int(found.labels[i])
        below, names = (found.class_scores[i], class_names) if len(class_names) > 2 else ((), ())
        if found.attributes is not None:
            below, names = found.attributes[i], attribute_names
        ranked = sorted(zip(names, below, strict=True), key=lambda pair: -pair[1])
        lines = [f"{class_names[label]} {found.scores[i]:.2f}", *(f"{name} {score:.2f}" for name, score in ranked)]
        made.append(Note(np.asarray(found.boxes[i]).tolist(), lines, label))
    return made


def draw_boxes(image: UInt8[np.ndarray, "h w 3"], notes: Sequence[Note], palette: Palette) -> Image.Image:
    """Draw boxes on an image; letters and lines grow with it, so that they can be read at any size.

    What is written stands to the right of its box where there is room, else to its left, else inside, and is moved down
    where it would cover what is written already.
    """
    picture, scale = _fitted(image)
    size = max(11, max(picture.size) // _LETTERS)
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
    thick = max(1, size // 6)
    draw = ImageDraw.Draw(picture)
    corners = []
    for note in notes:
        x, y, width, height = (float(value) * scale for value in note.box)
        left, top = round(x), round(y)
        right, bottom = max(left + 1, round(x + width)), max(top + 1, round(y + height))
        corners.append((left, top, right, bottom))
        colour = tuple(palette[note.label])
        if note.dashed:
            _dashed(draw, corners[-1], colour, thick, 2 * size // 3)
        else:
            draw.rectangle(corners[-1], outline=(0, 0, 0), width=thick + 2)
            draw.rectangle((left + 1, top + 1, max(left + 1, right - 1), max(top + 1, bottom - 1)), None, colour, thick)
    taken: list[tuple[int, int, int, int]] = []
    for note, (left, top, right, _) in zip(notes, corners, strict=True):
        if not note.lines:
            continue
        pad, row = max(2, size // 6), round(1.25 * size)
        wide = round(max(font.getlength(line) for line in note.lines)) + 2 * pad
        tall = row * len(note.lines) + pad
        sides = (right + thick, left - wide - thick, left + thick)
        x = next((side for side in sides if side >= 0 and side + wide <= picture.width), sides[-1])
        x = max(0, min(x, picture.width - wide))
        y = max(0, min(top, picture.height - tall))
        for a, b, c, d in sorted(taken, key=lambda one: one[1]):
            if x < c and a < x + wide and y < d and b < y + tall and d + tall <= picture.height:
                y = d + 1
        taken.append((x, y, x + wide, y + tall))
        colour = tuple(palette[note.label])
        draw.rectangle((x, y, x + wide, y + row), fill=colour)
        if len(note.lines) > 1:
            draw.rectangle((x, y + row, x + wide, y + tall), fill=(20, 20, 20))
        dark = np.dot(colour, (0.299, 0.587, 0.114)) > 140
        for number, line in enumerate(note.lines):
            letters = (0, 0, 0) if dark and not number else (255, 255, 255)
            draw.text((x + pad, y + number * row + row // 2), line, letters, font, anchor="lm")
    return picture


def _fitted(image: UInt8[np.ndarray, "h w 3"]) -> tuple[Image.Image, float]:
    """The picture that is drawn on, and how much larger than the image it is."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > LONGEST:
        scale = LONGEST / longer
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return Image.fromarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)), scale
    times = max(1, SHORTEST // longer)
    return Image.fromarray(image.repeat(times, 0).repeat(times, 1)), float(times)


def _dashed(
    draw: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], colour: tuple[int, ...], thick: int, dash: int
) -> None:
    left, top, right, bottom = corners
    for start in range(left, right, 2 * dash):
        for y in (top, bottom):
            draw.line((start, y, min(start + dash, right), y), colour, thick)
    for start in range(top, bottom, 2 * dash):
        for x in (left, right):
            draw.line((x, start, x, min(start + dash, bottom)), colour, thick)
