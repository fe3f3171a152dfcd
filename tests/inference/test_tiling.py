"""Tiles along one axis: what they cover, where they start, and that their weights are a partition of one."""

import numpy as np
import pytest

from segjax.inference import InferenceError
from segjax.inference.tiling import ALIGNMENT, spans

CASES = [
    (length, tile, margin)
    for tile, margin in ((192, 0), (192, 29), (256, 50), (512, 128), (1024, 53), (1024, 256))
    for length in (1, 191, 192, 193, 257, 384, 1000, 1025, 2700, 5399, 5400)
]


@pytest.mark.parametrize(("length", "tile", "margin"), CASES)
def test_weights_add_up_to_one_over_tiles_that_lie_on_the_grid(length: int, tile: int, margin: int):
    total = np.zeros(length)
    tiles = spans(length, tile, margin)
    for start, stop, first, weights in tiles:
        assert start % ALIGNMENT == 0
        assert start <= first < first + len(weights) <= stop <= length
        assert stop - start <= tile
        assert first - start >= (margin if start else 0)
        assert stop - first - len(weights) >= (margin if stop < length else 0)
        assert (weights > 0).all()
        total[first : first + len(weights)] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert tiles[0].weights[0] == 1
    assert tiles[-1].weights[-1] == 1
    assert tiles[-1].stop == length
    assert len({stop - start for start, stop, _, _ in tiles[:-1]}) <= 1


@pytest.mark.parametrize(("length", "tile", "margin"), CASES)
def test_weights_rise_and_fall_smoothly(length: int, tile: int, margin: int):
    blend = tile // 16
    for _, _, _, weights in spans(length, tile, margin):
        steps = np.abs(np.diff(weights, prepend=weights[0]))
        # The steepest a raised cosine over `blend` pixels gets, or two of them that overlap.
        assert steps.max(initial=0) <= np.pi / blend


def test_no_tile_is_larger_than_their_number_asks_for():
    sizes = [stop - start for start, stop, _, _ in spans(2700, 1024, 53)]
    assert sizes == [832, 832, 832, 780]  # and not four of 1024


def test_an_axis_within_one_tile_is_one_tile_of_its_own_length():
    ((start, stop, first, weights),) = spans(191, 192, 0)
    assert (start, stop, first) == (0, 191, 0)
    assert weights.tolist() == [1] * 191


def test_a_margin_that_leaves_nothing_is_refused_with_a_tile_that_would_do():
    with pytest.raises(InferenceError, match="tiles of 192 pixels are too small for a margin of 80: take at least 256"):
        spans(500, 192, 80)
    assert spans(500, 256, 80)
    with pytest.raises(InferenceError, match="take at least 192"):
        spans(500, 128, 0)
