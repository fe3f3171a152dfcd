"""What checking says of depths, bands, frames of reference and pixels without data."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file

from segjax.data import folder, folder_defaults
from segjax.data.check.masks import check_masks
from segjax.data.sets.folder import FolderDefaults
from segjax.errors import DataError

RNG = np.random.default_rng(0)


def many_bands(make_folder, save, names="abcdef", bands=13, dtype: type = np.uint16, **how):
    """The folder of images and masks, with images of other depths and bands."""
    root = make_folder(names, suffix=".bmp")
    for number, name in enumerate(names):
        old = root / "images" / f"{name}.bmp"
        height, width = np.array(Image.open(old)).shape[:2]
        old.unlink()
        pixels = (RNG.random((height, width, bands)) * 3000 + 100 * number).astype(dtype)
        pixels[:2] = 0
        save(root / "images" / f"{name}.tif", tiff_file(pixels, compression=8, planar=1 + number % 2, **how))
    return root


def test_thirteen_bands_of_16_bits_are_a_data_set(make_folder, save):
    root = many_bands(make_folder, save, tags=[(42113, 2, b"0\0")])
    names = [f"b{number}" for number in range(1, 14)]
    (root / "bands.txt").write_text("\n".join(names))
    report = check_masks(root, picture=root / "check.png")
    assert not report.problems
    assert (report.bands.depth, report.bands.count, report.bands.names) == ("uint16", 13, tuple(names))
    assert any(
        "Pixels without data are in 6 images (11.8% of all): they neither train" in note for note in report.notes
    )
    assert np.array(Image.open(root / "check.png")).std() > 20
    defaults = folder_defaults(root)
    kept = FolderDefaults.from_json(json.loads(json.dumps(dataclasses.asdict(defaults))))
    assert kept == defaults
    data = folder(root, kept)
    records = [data.open("train")[i] for i in range(len(data.open("train")))]
    seen = np.concatenate([one["image"][one["mask"] != 255] for one in records]) / 65535
    assert data.statistics is not None
    np.testing.assert_allclose(data.statistics.mean, seen.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.statistics.std, seen.std(0), rtol=1e-6)
    assert (records[0]["mask"][:2] == 255).all()
    assert data.shown(records[0]["image"]).shape == (*records[0]["mask"].shape, 3)


def test_chosen_bands_alone_are_read(make_folder, save):
    root = many_bands(make_folder, save)
    whole, chosen = folder(root), folder(root, folder_defaults(root, ("13", "2")))
    np.testing.assert_array_equal(chosen.open("train")[0]["image"], whole.open("train")[0]["image"][..., [12, 1]])
    with pytest.raises(DataError, match="has 13 bands, and band 14 is asked for"):
        folder_defaults(root, ("14",))


def test_other_depths_and_bands_than_most_are_errors(make_folder, save):
    root = many_bands(make_folder, save)
    save(root / "images" / "b.tif", tiff_file(np.ones((18, 20, 13), np.float32)))
    save(root / "images" / "c.tif", tiff_file(np.ones((16, 20, 4), np.uint16)))
    (root / "bands.txt").write_text("a\nb\n")
    sentences = " ".join(problem.sentence for problem in check_masks(root).errors)
    assert "b.tif has float32 where the images of the set have uint16" in sentences
    assert "c.tif has 4 bands where the images of the set have 13" in sentences
    assert "bands.txt names 2 bands, and the images have 13" in sentences


def test_a_band_that_is_called_opacity_is_not_left_out_without_a_word(make_folder, save):
    root = many_bands(make_folder, save, bands=4, dtype=np.uint8, photometric=2, extra=[2])
    kinds = [problem.kind for problem in check_masks(root).problems]
    assert kinds == ["opacity"] * 6
    assert not check_masks(root, bands=["1", "2", "3", "4"]).problems


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("square", [True, False])
def test_a_turn_that_the_mask_does_not_have_is_said(make_folder, save, orientation, square):
    root = make_folder("abcde", suffix=".bmp")
    exif = Image.Exif()
    exif[274] = orientation
    size = (20, 20) if square else (16, 20)
    Image.fromarray(RNG.integers(0, 256, (*size, 3)).astype(np.uint8)).save(root / "images" / "a.jpg", exif=exif)
    (root / "images" / "a.bmp").unlink()
    Image.fromarray(RNG.integers(0, 3, size).astype(np.uint8)).save(root / "masks" / "a.png")
    report = check_masks(root)
    assert any("EXIF" in note for note in report.notes)
    kinds = {problem.kind for problem in report.problems}
    assert kinds == ({"turned", "size"} if orientation >= 5 and not square else {"turned"})
    assert all("EXIF" in problem.sentence for problem in report.problems)
    Image.open(root / "masks" / "a.png").save(root / "masks" / "a.png", exif=exif)  # turned alike
    assert not check_masks(root).problems
