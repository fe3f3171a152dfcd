"""Which bands a set reads, and how they are shown."""

import numpy as np
import pytest

from segjax.data.formats.bands import Bands, choose, display_range, read_names
from segjax.errors import DataError

NAMES = ("blue", "green", "Red", "infrared")


def test_bands_are_asked_for_by_number_or_name():
    assert choose(("4", "red", "1"), NAMES, "set") == (4, 3, 1)
    assert choose((), NAMES, "set") is None
    for asked, sentence in (
        (("0",), "set has no band '0': give --bands their numbers, from 1, or names .blue, green, Red, infrared"),
        (("thermal",), "set has no band 'thermal'"),
        (("3", "red"), "asks for a band twice"),
    ):
        with pytest.raises(DataError, match=sentence):
            choose(asked, NAMES, "set")


def test_names_stand_one_a_line(tmp_path):
    assert read_names(tmp_path) == ()
    (tmp_path / "bands.txt").write_text("\ufeffblue\n\ngreen \n", "utf-8")
    assert read_names(tmp_path) == ("blue", "green")
    assert read_names(tmp_path / "bands.txt") == ()  # a file in the place of a folder, of which others say it
    (tmp_path / "bands.txt").write_text("red\nRed\n")
    with pytest.raises(DataError, match=r"bands\.txt names two bands alike"):
        read_names(tmp_path)
    (tmp_path / "bands.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match=r"bands\.txt cannot be read"):
        read_names(tmp_path)


def test_bands_called_red_green_and_blue_are_shown_as_such():
    image = np.arange(4, dtype=np.uint8) * np.ones((2, 2, 1), np.uint8)
    assert Bands(count=4, names=NAMES).shown(image)[0, 0].tolist() == [2, 1, 0]
    assert Bands(count=4).shown(image)[0, 0].tolist() == [0, 1, 2]
    assert Bands(count=2).shown(image[..., 2:])[0, 0].tolist() == [2, 2, 2]


@pytest.mark.parametrize(("depth", "unit"), [("uint16", 65535), ("float32", 1)])
def test_other_depths_are_shown_from_the_sets_dark_to_its_bright(depth, unit):
    low, high = display_range((0.5, 0.2, 0.4), (0.1, 0.1, 0.1), depth)
    bands = Bands(depth, 3, low=low, high=high)
    middle, dark, bright = (np.full((1, 1, 3), value, np.float32) for value in (0, -3, 3))
    for deviations, expected in ((middle, 127), (dark, 0), (bright, 255)):
        image = ((np.array((0.5, 0.2, 0.4)) + 0.1 * deviations) * unit).clip(0).astype(depth)
        assert np.abs(bands.shown(image).astype(int) - expected).max() <= 1
    assert display_range((0.5,), (0.1,), "uint8") == ((), ())


def test_others_are_refused():
    with pytest.raises(DataError, match="a has float32 where the images of the set have uint16"):
        Bands("uint16").refuse_others(np.zeros((1, 1, 3), np.float32), "a")
    with pytest.raises(DataError, match=r"a has 4 bands where the images of the set have 3: .* by --bands"):
        Bands().refuse_others(np.zeros((1, 1, 4), np.uint8), "a")
