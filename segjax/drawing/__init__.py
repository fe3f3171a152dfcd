"""Drawing: masks and boxes laid over images, curves, and grids of examples. NumPy, Pillow, OpenCV and matplotlib."""

from segjax.drawing.box_overlay import Note, draw_boxes, notes
from segjax.drawing.curves import draw_curves, draw_reliability
from segjax.drawing.figures import brightened
from segjax.drawing.grids import BoxExample, MaskExample, draw_box_grid, draw_mask_grid
from segjax.drawing.mask_overlay import draw_overlay, grey_overlay, tint
from segjax.drawing.palette import Colour, Palette, hexadecimal, paint

__all__ = [
    "BoxExample",
    "Colour",
    "MaskExample",
    "Note",
    "Palette",
    "brightened",
    "draw_box_grid",
    "draw_boxes",
    "draw_curves",
    "draw_mask_grid",
    "draw_overlay",
    "draw_reliability",
    "grey_overlay",
    "hexadecimal",
    "notes",
    "paint",
    "tint",
]
