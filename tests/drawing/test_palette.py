"""Masks in the colours of their classes."""

import numpy as np

from segjax.drawing import hexadecimal, paint
from segjax.drawing.palette import IGNORED, NOTHING

PALETTE = ((230, 159, 0), (0, 0, 255))


def test_a_class_without_a_colour_is_ignored():
    mask = np.array([[0, 1], [255, 2]], np.uint8)
    np.testing.assert_array_equal(paint(mask, PALETTE), [[PALETTE[0], PALETTE[1]], [(120,) * 3, (120,) * 3]])
    assert (paint(mask, PALETTE, ignored=(255, 255, 255))[1] == 255).all()
    assert paint(mask, PALETTE).dtype == np.uint8


def test_a_colour_as_matplotlib_writes_it():
    assert [hexadecimal(colour) for colour in PALETTE] == ["#e69f00", "#0000ff"]


def test_labels_that_overlap_are_striped():
    mask = np.zeros((12, 12, 3), np.uint8)
    mask[:, 3:, 0] = mask[:, 6:, 2] = 1
    mask[0] = 255
    palette = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
    painted = paint(mask, palette)
    assert (painted[0] == IGNORED).all()
    assert (painted[1:, :3] == NOTHING).all()
    assert (painted[1:, 3:6] == palette[0]).all()
    both = painted[1:, 6:].reshape(-1, 3)
    shares = [(both == palette[i]).all(axis=1).mean() for i in (0, 2)]
    assert sum(shares) == 1
    assert min(shares) > 0.4
