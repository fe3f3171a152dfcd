"""Classes of more than a byte, in files of every kind."""

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from segjax.data import DataError, folder, folder_defaults
from segjax.data.check.masks import check_masks as check
from segjax.data.checked import checked
from segjax.data.sets.folder import FolderSource
from segjax.mask_numbers import MOST_CLASSES


def write(root, save, masks, kind="png", names=None):
    """A set of these masks, with as many names as are said."""
    for number, mask in enumerate(masks):
        rng = np.random.default_rng(number)
        save(root / f"images/{number}.png", rng.integers(0, 256, (*mask.shape, 3)).astype(np.uint8))
        if kind == "npy":
            (root / "masks").mkdir(exist_ok=True)
            np.save(root / f"masks/{number}.npy", mask)
        else:
            save(root / f"masks/{number}.{kind}", mask)
    if names:
        save(root / "classes.txt", "".join(f"kind {number}\n" for number in range(names)))
    return root


def masks(count, size=(20, 20), images=8):
    """Numbers of all that range, so that two of the images have each; the first pixel is ignored."""
    rng = np.random.default_rng(0)
    found = rng.integers(0, count, (images, *size)).astype(np.uint16)
    found[:, 0, 0] = 65535
    found[:, 0, 1:4] = 255, 256, count - 1
    return found


@pytest.mark.parametrize(
    ("kind", "depth"), [("png", np.uint16), ("tif", np.uint16), ("tif", np.int32), ("npy", np.uint32)]
)
def test_numbers_above_a_byte_are_read_as_they_are(tmp_path, save, kind, depth):
    made = masks(300)
    report = check(write(tmp_path / "set", save, made.astype(depth), kind, names=300))
    assert not report.errors
    assert sum(one.counts.of(65535) for one in report.train + report.val + report.test) == len(made)
    data = folder(tmp_path / "set")
    for split in ("train", "val", "test"):
        source = checked(data.open(split)).source
        assert isinstance(source, FolderSource)
        for index in range(len(source)):
            found = data.open(split)[index]["mask"]  # pyright: ignore
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, made[int(source.name_of(index))])


def test_a_set_says_what_255_is(tmp_path, save):
    """Files of 8 bits in a set of many classes hold classes alone."""
    made = masks(300)
    report = check(write(tmp_path / "set", save, [*made[:4], *made[4:].clip(0, 255).astype(np.uint8)], names=300))
    assert any("255 in a mask is one of them: 65535 is what is ignored" in note for note in report.notes)
    assert sum(one.counts.of(65535) for one in report.train + report.val + report.test) == 4
    few = check(write(tmp_path / "few", save, np.where(made == 65535, 65535, made % 3).astype(np.uint16), names=3))
    assert not few.errors
    assert folder(tmp_path / "few").open("train")[0]["mask"][0, 0] == 255


def test_a_number_that_is_no_class_is_named(tmp_path, save):
    report = check(write(tmp_path / "set", save, masks(301), names=300))
    assert [error.kind for error in report.errors] == ["label"] * 8
    assert "pixels of label 300, but there are 300 classes (0 to 299): mend the mask" in report.errors[0].sentence
    few = check(write(tmp_path / "few", save, masks(301), names=3))
    assert "but there are 3 classes (0 to 2)" in few.errors[0].sentence


def test_classes_are_dropped_to_fewer_than_a_byte_holds(tmp_path, save):
    root = write(tmp_path / "set", save, masks(300), names=300)
    defaults = folder_defaults(root, classes=("kind 299", "low=kind 255+kind 256"))
    source = folder(root, defaults).open("train")
    found = source[0]["mask"]
    assert found.dtype == np.uint8
    assert found[0, :4].tolist() == [255, 1, 1, 0]


def test_every_number_of_sixteen_bits_is_a_class(tmp_path, save):
    every = np.arange(MOST_CLASSES + 1, dtype=np.uint16).reshape(256, 256)
    report = check(write(tmp_path / "set", save, [np.roll(every, number, axis=0) for number in range(4)]))
    assert not report.errors
    assert len(report.classes.names) == MOST_CLASSES
    assert report.to_json()["ignored_pixels"] == 4
    assert [problem.kind for problem in report.problems] == []
    over = [every.astype(np.int32) + 1 for _ in range(4)]
    with pytest.raises(DataError, match="1 pixel whose value is no class number, the first 65536 at x=255, y=255"):
        folder(write(tmp_path / "over", save, over, "tif"))


def test_what_gdal_calls_no_data_is_no_class_of_black_and_white_masks(tmp_path, save):
    """Only 0 and 255, and 255 is said to have no data: a single class, and not two."""
    for nodata, classes in ((None, 2), (255, 1)):
        root = write(tmp_path / str(nodata), save, masks(2)[:4].astype(np.uint8) % 2 * 255)
        for path in [*(root / "masks").iterdir()]:
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            if nodata is not None:
                tags[42113] = str(nodata)
            Image.open(path).save(path.with_suffix(".tif"), tiffinfo=tags)
            path.unlink()
        report = check(root)
        assert len(report.classes.names) == classes
        assert bool(report.errors) == (classes == 1)
