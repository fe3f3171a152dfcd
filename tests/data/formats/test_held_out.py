import hashlib

import pytest

from segjax.data.formats.held_out import group_of, hold_out, lowest_hashes, say_once


def sha256(name):
    return hashlib.sha256(name.encode()).digest()


def test_the_lowest_hashes_are_taken():
    names = [f"image {i}" for i in range(25)]
    lowest = sorted(names, key=sha256)[:5]
    assert {names[place] for place in lowest_hashes(names, 0.2)} == set(lowest)
    assert len(lowest_hashes(names, 0.001)) == 1


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("scene_3_12", "scene"),
        ("berlin/scene-r03-c12", "berlin/scene"),
        ("scan7_y256_x1024", "scan7"),
        ("photo row 1 col 2", "photo"),
        ("frame_0001", "frame_0001"),
        ("000001_10", "000001_10"),
        ("a", "a"),
        ("_1_2", "_1_2"),
    ],
)
def test_a_tile_says_the_image_it_was_cut_from(name, group):
    assert group_of(name) == group


def test_a_tenth_is_held_out_and_nothing_is_in_both():
    names = [f"{i:03}" for i in range(50)]
    train, val = hold_out(names, str)
    assert len(val) == 5
    assert sorted(train + val) == names
    assert set(val) == set(sorted(names, key=sha256)[:5])
    # What is added or taken away elsewhere moves few others.
    assert len(set(hold_out(names[:-1], str)[1]) & set(val)) >= 4


def test_tiles_stay_together_unless_there_are_too_few_images():
    names = [f"{image}_{row}_{column}" for image in "abcdefghijkl" for row in range(3) for column in range(2)]
    train, val = hold_out(names, str)
    assert len(val) == 6
    assert {name[0] for name in val}.isdisjoint(name[0] for name in train)
    # Dates are no places: they would leave two groups.
    dates = [f"{year}_{month}_{day}" for year in (2020, 2021) for month in (1, 2) for day in range(1, 26)]
    assert len(hold_out(dates, str)[1]) == 10


def test_a_single_record_trains():
    assert hold_out(["a"], str) == (["a"], [])
    assert hold_out([], str) == ([], [])


def test_a_sentence_is_said_once(capfd):
    for _ in range(2):
        say_once("This is said by a test.")
    assert capfd.readouterr() == ("", "This is said by a test.\n")
