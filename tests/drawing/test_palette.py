"""Masks in the colours of their classes."""

import numpy as np

from segjax.drawing import hexadecimal, paint

PALETTE = ((230, 159, 0), (0, 0, 255))


def test_a_class_without_a_colour_is_ignored():
    mask = np.array([[0, 1], [255, 2]], np.uint8)
    np.testing.assert_array_equal(paint(mask, PALETTE), [[PALETTE[0], PALETTE[1]], [(120,) * 3, (120,) * 3]])
    assert (paint(mask, PALETTE, ignored=(255, 255, 255))[1] == 255).all()
    assert paint(mask, PALETTE).dtype == np.uint8


def test_a_colour_as_matplotlib_writes_it():
    assert [hexadecimal(colour) for colour in PALETTE] == ["#e69f00", "#0000ff"]
