"""Masks laid over images."""

import numpy as np

from segjax.drawing import draw_overlay, grey_overlay
from segjax.drawing.mask_overlay import LONGEST


def test_an_overlay_shows_image_and_class():
    image = np.array([[[100, 100, 100], [40, 50, 60], [0, 0, 0]]], np.uint8)
    drawn = grey_overlay(image, np.array([[0, 1, 255]], np.uint8), ((0, 0, 0), (200, 100, 0)))
    np.testing.assert_array_equal(drawn, [[[40, 40, 40], [140, 80, 20], [153, 153, 153]]])


def test_many_labels_are_laid_over_a_large_image():
    mask = np.zeros((3000, 40, 6), np.uint8)
    mask[:1500, :, 0] = mask[1000:2000, :, 5] = 1
    drawn = draw_overlay(np.zeros((3000, 40, 3), np.uint8), mask, [f"label {i}" for i in range(6)], [(250, 0, 0)] * 6)
    assert drawn.height > LONGEST
    reds = np.asarray(drawn)[:LONGEST, 20, 0]
    assert abs(int((reds == round(0.45 * 250)).sum()) - LONGEST * 2 // 3) <= 8  # white where labels change
