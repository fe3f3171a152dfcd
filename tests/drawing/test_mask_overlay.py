"""Masks laid over images."""

import numpy as np

from segjax.drawing import grey_overlay


def test_an_overlay_shows_image_and_class():
    image = np.array([[[100, 100, 100], [40, 50, 60], [0, 0, 0]]], np.uint8)
    drawn = grey_overlay(image, np.array([[0, 1, 255]], np.uint8), ((0, 0, 0), (200, 100, 0)))
    np.testing.assert_array_equal(drawn, [[[40, 40, 40], [140, 80, 20], [153, 153, 153]]])
