"""What figures share."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from segjax.drawing import figures


@pytest.mark.parametrize(("length", "most", "expected"), [(1, 6, [0]), (3, 6, [0, 1, 2]), (101, 3, [0, 50, 100])])
def test_numbers_are_spread_evenly_and_each_is_there_once(length: int, most: int, expected: list[int]):
    assert figures.evenly(length, most) == expected


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_an_image_of_any_number_of_channels_can_be_looked_at(channels: int):
    image = np.random.default_rng(0).integers(0, 60, (8, 9, channels)).astype(np.uint8)
    shown = figures.rgb(image)
    assert shown.shape == (8, 9, 3)
    assert shown.dtype == np.uint8
    assert shown.max() == 255  # a dark image is brightened
    if channels < 3:
        assert (shown == shown[..., :1]).all()
    assert (figures.rgb(np.zeros((4, 4, channels), np.uint8)) == 0).all()


def test_a_figure_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path, monkeypatch):
    figures.save(Figure(), tmp_path, "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def half(self: Figure, path: Path, **settings) -> None:
        path.write_bytes(before[:10])
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="the disk is full"):
        figures.save(Figure(), tmp_path, "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
