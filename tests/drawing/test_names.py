"""Names of classes as a font can draw them."""

from pathlib import Path

import numpy as np
import pytest

from segjax.drawing import draw_mask_grid, draw_overlay
from segjax.drawing.grids import MaskExample
from segjax.drawing.names import drawable, in_legend

NAMES = ("背景", "Straße", "_background_", "cost $5$ or $")


def test_what_the_font_cannot_draw_is_numbered():
    assert drawable(NAMES) == ["class 0", *NAMES[1:]]
    assert drawable(["вода", "a 🌲", "δ"]) == ["вода", "class 1", "δ"]
    assert in_legend(NAMES) == ["class 0", "Straße", " _background_", r"cost \$5\$ or \$"]


def test_a_long_name_is_its_beginning_and_its_end():
    assert drawable(["a" * 40, "b" * 60 + "c" * 60]) == ["a" * 40, "b" * 19 + "…" + "c" * 20]


@pytest.mark.filterwarnings("error")  # of a missing glyph, or of a label that a legend leaves out
def test_pictures_are_drawn_whatever_classes_are_called(tmp_path: Path):
    image, mask = np.zeros((8, 8, 3), np.uint8), np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    palette = ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
    draw_mask_grid(tmp_path, [MaskExample(image, mask, mask)], NAMES, palette)
    assert (tmp_path / "predictions.png").exists()
    assert draw_overlay(image, mask, NAMES, palette).size[0] >= 384
