import io
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from segjax import data
from segjax.data.sets.trees import PHOTOS, TILE, tiles, trees

module = sys.modules["segjax.data.sets.trees"]  # `segjax.data.trees` is the function

SIZES = {"train": ((884, 300), (256, 256), (260, 400)), "test": ((520, 700),)}
BOXES = {
    "train": [
        [(10, 20, 30, 40), (20, 640, 10, 20), (40, 540, 10, 20)],
        [(0, 0, 256, 256)],
        [(399, 259, 1, 1), (100, 100, 50, 50)],
    ],
    "test": [[]],
}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A wheel like the published one, with small photos; the pixels by name."""
    wheel = tmp_path / "deepforest-2.1.0-py3-none-any.whl"
    pixels = {}
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(wheel, "w") as archive:
        for split in ("train", "test"):
            names = PHOTOS[split]
            for name, (height, width), boxes in zip(names, SIZES[split], BOXES[split], strict=True):
                pixels[name] = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
                file = io.BytesIO()
                Image.fromarray(pixels[name]).save(file, "PNG")
                archive.writestr(f"deepforest/data/{name}.png", file.getvalue())
                objects = "".join(
                    f"<object><name>Tree</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax>"
                    f"<ymax>{y + h}</ymax></bndbox></object>"
                    for x, y, w, h in boxes
                )
                archive.writestr(f"deepforest/data/{name}.xml", f"<annotation>{objects}</annotation>")
    monkeypatch.setattr(module, "fetch_wheel", lambda name, version, sha256: wheel)
    module.read_photo.cache_clear()
    yield pixels
    module.read_photo.cache_clear()


def test_photos_become_tiles_of_one_size(photos):
    dataset = trees()
    assert dataset.class_names == ("tree",)
    train, val, test = (dataset.open(split) for split in ("train", "val", "test"))
    assert len(train) == 3 * 2 + 1 + 2 * 2
    assert len(test) == 2 * 3
    assert len(val) == 2
    for source in (train, val, test):
        for i in range(len(source)):
            record = source[i]
            assert record.keys() == {"image", "boxes", "labels", "crowd"}
            assert record["image"].shape == (TILE, TILE, 3)
            kinds = [record[name].dtype.name for name in ("boxes", "labels", "crowd")]
            assert kinds == ["float32", "int32", "bool"]
    large = photos[PHOTOS["train"][0]]
    np.testing.assert_array_equal(train[0]["image"], large[:256, :256])
    np.testing.assert_array_equal(train[4]["image"], large[244:500, :256])
    # The last rows validate; those before them, and a tree that lies there, are in neither.
    np.testing.assert_array_equal(val[0]["image"], large[-256:, :256])
    np.testing.assert_array_equal(val[0]["boxes"], [[20, 12, 10, 20]])
    assert sum(len(train[i]["boxes"]) for i in range(6)) == 1
    # The corners of VOC are counted from 1 and inside.
    np.testing.assert_array_equal(train[0]["boxes"], [[10, 20, 30, 40]])
    np.testing.assert_array_equal(train[6]["boxes"], [[0, 0, 256, 256]])
    np.testing.assert_array_equal(train[10]["boxes"], [[255, 255, 1, 1], [0, 96, 6, 50]])
    assert train[10]["crowd"].tolist() == [False, True]
    (batch,) = data.test_batches([test[i] for i in range(6)], 6)
    assert (batch["labels"] == -1).all()


def test_boxes_are_cut_as_their_pictures_are():
    """Each box is drawn as a mask, which is cut by the same function."""
    rng = np.random.default_rng(1)
    low = rng.integers(0, (560, 360), (40, 2))
    boxes = np.concatenate([low, rng.integers(5, 40, (40, 2))], axis=1).astype(np.float32)
    drawn = []
    for x, y, w, h in boxes.astype(int):
        image = np.zeros((400, 600, 3), np.uint8)
        image[y : y + h, x : x + w] = 255
        drawn.append([tile["image"][..., 0] > 0 for tile in tiles(image, boxes[:0], 128)])
    found = tiles(np.zeros((400, 600, 3), np.uint8), boxes, 128)
    assert len(found) == 2 * 4
    crowds = 0
    for number, tile in enumerate(found):
        masks = [(mask[number], box) for mask, box in zip(drawn, boxes, strict=True) if mask[number].any()]
        assert len(tile["boxes"]) == len(masks)
        for (x, y, w, h), crowd, (mask, box) in zip(tile["boxes"].astype(int), tile["crowd"], masks, strict=True):
            expected = np.zeros_like(mask)
            expected[y : y + h, x : x + w] = True
            np.testing.assert_array_equal(mask, expected)
            assert crowd == (w * h < 0.5 * box[2] * box[3])
        crowds += tile["crowd"].sum()
    assert 0 < crowds < 40


def test_nothing_is_fetched_before_it_is_opened(monkeypatch):
    monkeypatch.setattr(module, "fetch_wheel", None)
    with pytest.raises(ValueError, match="trees has the splits train, val and test, not 'other'"):
        trees().open("other")
