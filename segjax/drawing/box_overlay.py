"""An image with boxes drawn on it, the class and the scores of each beside it, for people to look at."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Int, Int32, Int64, UInt8
from PIL import Image, ImageDraw, ImageFont

from segjax.drawing.mask_overlay import LONGEST
from segjax.drawing.names import drawable, font_file, shortened
from segjax.drawing.palette import Palette
from segjax.luma import LUMA

SHORTEST = 640
"""A smaller image is drawn larger: its pixels are repeated while its longer side stays within this many."""
LETTERS = 1 / 38
"""The height of the letters as a share of the image's longer side; they are smaller where there is much to write."""
LEAST_LETTERS = 11
"""In pixels."""
WRITTEN = 0.3
"""How much of the image is covered with writing at most, unless its letters would have less than the least height."""
MOST_BELOW = 8
"""So many scores are written below that of a box's class: of 80 classes they would cover the image."""
_AROUND_THIN = 8
"""An image's shorter side has room for so many lines; where it has not, there is a margin below or to the right."""
_MARGIN = (40, 40, 40)
_LISTED = (20, 20, 20)


Corners = tuple[int, int, int, int]
"""left, top, right, bottom"""


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
    found: Any,
    class_names: Sequence[str],
    attribute_names: Sequence[str] = (),
    *,
    least: float = 0.0,
    tracks: Int[np.ndarray, " d"] | None = None,
) -> list[Note]:
    """What to draw of one image's `Detections` (without the axis of images), of those scored `least` or better.

    Beside each box its class and score; below that, the scores of the attributes, or where there are none and at least
    three classes, of the other classes: the eight greatest, in their order. An object of a track, whose number
    is not 0, has that, too.
    """
    made = []
    class_names, attribute_names = drawable(class_names), drawable(attribute_names)
    for i in np.flatnonzero((np.asarray(found.labels) >= 0) & (np.asarray(found.scores) >= least)):
        label = int(found.labels[i])
        if found.attributes is not None:
            below = list(zip(attribute_names, found.attributes[i], strict=True))
        elif len(class_names) > 2:
            below = [pair for k, pair in enumerate(zip(class_names, found.class_scores[i], strict=True)) if k != label]
        else:
            below = []
        ranked = sorted(below, key=lambda pair: -pair[1])[:MOST_BELOW]
        number = f" #{tracks[i]}" if tracks is not None and tracks[i] else ""
        lines = [
            f"{class_names[label]}{number} {found.scores[i]:.2f}",
            *(f"{name} {score:.2f}" for name, score in ranked),
        ]
        made.append(Note(np.asarray(found.boxes[i]).tolist(), lines, label))
    return made


def draw_boxes(image: UInt8[np.ndarray, "h w 3"], notes: Sequence[Note], palette: Palette) -> Image.Image:
    """Draw boxes on an image; letters and lines grow with it, so that they can be read at any size.

    What is written stands beside its box, where it covers the least of what else is written, and then of boxes; a line
    leads to the box where it is not near.

    Examples:
        >>> image, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8)
        >>> drawing.draw_boxes(image, [], ((0, 255, 0),)).size
        (640, 640)
    """
    canvas, scale = _fitted(image)
    size, thick = _letters(canvas.size, notes), max(1, round(max(canvas.size) * LETTERS / 6))
    font = ImageFont.truetype(font_file(), size)
    draw = ImageDraw.Draw(canvas)
    corners: list[Corners] = []
    for note in notes:
        x, y, width, height = (float(value) * scale for value in note.box)
        left, top = round(x), round(y)
        corners.append((left, top, max(left + 1, round(x + width)), max(top + 1, round(y + height))))
        _frame(draw, corners[-1], palette[note.label], thick, 4 * thick if note.dashed else 0)
    written: list[Corners] = []
    # What it costs to write upon a pixel: much more of other boxes than of other texts may be hidden.
    busy = np.zeros(canvas.size[::-1], np.int32)
    for box in corners:
        busy[_pixels(box)] += 1
    pad, row = max(2, size // 6), round(1.25 * size)
    for note, box in zip(notes, corners, strict=True):
        if not note.lines:
            continue
        lines = [_fitting(line, font, canvas.width - 2 * pad) for line in note.lines]
        wide = round(max(map(font.getlength, lines))) + 2 * pad
        tall = row * len(note.lines) + pad * (len(note.lines) > 1)
        x, y = _place(box, (wide, tall), thick + 2, written, busy)
        written.append((x, y, x + wide, y + tall))
        busy[_pixels(written[-1])] += 10
        _lead(draw, written[-1], box, palette[note.label], thick)
        draw.rectangle((x, y, x + wide, y + row), fill=palette[note.label])
        if len(note.lines) > 1:
            draw.rectangle((x, y + row, x + wide, y + tall), fill=_LISTED)
        dark = np.dot(palette[note.label], LUMA) > 140
        for number, line in enumerate(lines):
            letters = (0, 0, 0) if dark and not number else (255, 255, 255)
            draw.text((x + pad, y + number * row + row // 2), line, letters, font, anchor="lm")
    return canvas


def _fitted(image: UInt8[np.ndarray, "h w 3"]) -> tuple[Image.Image, float]:
    """What is drawn on, and how much larger than the image it is; its size depends on that of the image."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer > LONGEST:
        scale = LONGEST / longer
        size = max(1, round(width * scale)), max(1, round(height * scale))
        inner = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    else:
        scale = max(1, SHORTEST // longer)
        inner = image.repeat(scale, 0).repeat(scale, 1)
    least = _AROUND_THIN * max(LEAST_LETTERS, round(max(inner.shape) * LETTERS))
    canvas = Image.new("RGB", (max(inner.shape[1], least), max(inner.shape[0], least)), _MARGIN)
    canvas.paste(Image.fromarray(inner))
    return canvas, float(scale)


def _letters(size: tuple[int, int], notes: Sequence[Note]) -> int:
    """The height of the letters, in pixels."""
    wanted = round(max(size) * LETTERS)
    # A letter is about 0.6 times as wide as it is high, and a line 1.25 times as high.
    areas = [0.75 * wanted**2 * max(map(len, note.lines)) * len(note.lines) for note in notes if note.lines]
    share = sum(areas) / (size[0] * size[1])
    return max(LEAST_LETTERS, int(wanted * min(1, (WRITTEN / max(share, WRITTEN)) ** 0.5)))


def _fitting(line: str, font: ImageFont.FreeTypeFont, wide: int) -> str:
    """The line, as much of it as is that wide: of its end, too, where the score is."""
    fitting, letters = line, len(line)
    while letters and font.getlength(fitting) > wide:
        letters -= 1
        fitting = shortened(line, letters)
    return fitting


def _pixels(corners: Corners) -> tuple[slice, slice]:
    """Its rows and columns."""
    left, top, right, bottom = (max(side, 0) for side in corners)
    return slice(top, bottom), slice(left, right)


def _place(
    box: Corners, size: tuple[int, int], gap: int, written: Sequence[Corners], busy: Int32[np.ndarray, "h w"]
) -> tuple[int, int]:
    """The upper left corner of what is written beside a box: of the first of the best places.

    Before a text goes far away, more of what is `busy` is hidden.
    """
    (left, top, right, bottom), (wide, tall) = box, size
    columns = (right + gap, left - wide - gap, left, right - wide)
    rows = [top, bottom - tall, top - tall - gap, bottom + gap]
    rows += [end for other in written for end in (other[3] + 1, other[1] - tall - 1)]
    canvas = np.array(busy.shape[::-1])
    low = np.array([(x, y) for x in columns for y in rows]).clip(0, np.maximum(canvas - size, 0))
    high = low + size
    away = np.maximum(low - (right, bottom), (left, top) - high).clip(0).sum(1)
    hidden = _sums(busy, low, high.clip(None, canvas)) / (wide * tall)
    cost = hidden + np.maximum(away - gap, 0) / (2 * gap + tall)
    x, y = low[cost.argmin()].tolist()
    return x, y


def _sums(
    values: Int32[np.ndarray, "h w"], low: Int[np.ndarray, "m 2"], high: Int[np.ndarray, "m 2"]
) -> Int64[np.ndarray, " m"]:
    """Of the values in each rectangle, of the sums from one corner on: however many there are, in the same time."""
    first, (right, bottom) = low.min(0), high.max(0)
    part = values[first[1] : bottom, first[0] : right]
    sums = np.pad(part, ((1, 0), (1, 0))).cumsum(0, dtype=np.int64).cumsum(1)
    (left, top), (right, bottom) = (low - first).T, (high - first).T
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _lead(draw: ImageDraw.ImageDraw, text: Corners, box: Corners, colour: tuple[int, int, int], thick: int) -> None:
    """A line from a text to its box, unless it is beside it."""
    ends = []
    for axis in (0, 1):
        low, high = max(text[axis], box[axis]), min(text[axis + 2], box[axis + 2])
        # The middle of what they share along the axis, else the sides that face each other.
        ends.append(((low + high) // 2,) * 2 if low <= high else (high, low) if text[axis] < box[axis] else (low, high))
    (x, to_x), (y, to_y) = ends
    if max(abs(x - to_x), abs(y - to_y)) > 2 * thick + 2:
        draw.line((x, y, to_x, to_y), colour, max(1, thick // 2))


def _frame(draw: ImageDraw.ImageDraw, corners: Corners, colour: tuple[int, int, int], thick: int, dash: int) -> None:
    """A rectangle, black around its colour; dashed where dashes have a length."""
    left, top, right, bottom = corners
    if not dash:
        draw.rectangle(corners, outline=(0, 0, 0), width=thick + 2)
        draw.rectangle((left + 1, top + 1, max(left + 1, right - 1), max(top + 1, bottom - 1)), None, colour, thick)
        return
    for start in range(left, right, 2 * dash):
        for y in (top, bottom):
            draw.line((start, y, min(start + dash, right), y), colour, thick)
    for start in range(top, bottom, 2 * dash):
        for x in (left, right):
            draw.line((x, start, x, min(start + dash, bottom)), colour, thick)
