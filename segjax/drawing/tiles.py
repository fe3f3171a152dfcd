"""Images in rows with their titles and captions, on one pair of axes: a pair for each costs four times as long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from segjax.drawing.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP, _CAPTION, _TITLE = 0.05, 0.12, 0.12
"""Shares of a tile's width: between two of them, for a caption below, for a title beside a row."""


def draw_tiles(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    titles: Sequence[str],
    captions: Sequence[Sequence[str]],
    *,
    width: float,
    fontsize: float,
    interpolation: str | None = None,
) -> Figure:
    """A figure with equally many images in each row, each in the middle of a tile that holds any of them.

    Args:
        rows: images, each row's from left to right.
        titles: what stands beside each row.
        captions: what stands below each image; a row without any takes no room for them.
        width: of the longest side of an image, in inches.
        fontsize: of captions, in points; titles are two points larger.
        interpolation: of pixels, as matplotlib has it.
    """
    shapes = np.array([[image.shape[:2] for image in line] for line in rows])
    sides = shapes / shapes.max(axis=-1, keepdims=True)
    tall, wide = sides.max(axis=(0, 1))
    heights = [tall + _GAP + _CAPTION * any(below) for below in captions]
    span = (_TITLE + len(rows[0]) * (wide + _GAP), sum(heights))
    figure = new_figure(width * span[0], width * span[1] + 0.5, constrained=True)
    axes = figure.subplots()
    for r, top in enumerate(np.cumsum([0, *heights[:-1]])):
        y = top + tall / 2
        axes.text(-_GAP, y, titles[r], rotation=90, ha="right", va="center", fontsize=fontsize + 2)
        for c, (image, caption) in enumerate(zip(rows[r], captions[r], strict=True)):
            height, breadth = sides[r, c] / 2
            x = c * (wide + _GAP) + wide / 2
            extent = (x - breadth, x + breadth, y + height, y - height)
            axes.imshow(image, extent=extent, interpolation=interpolation)
            if caption:
                below = y + height + _GAP / 2  # where a class's name may have a $ or two
                axes.text(x, below, caption, ha="center", va="top", fontsize=fontsize, parse_math=False)
    axes.set(xlim=(-_TITLE, span[0] - _TITLE), ylim=(span[1], 0))
    axes.set_axis_off()
    return figure
