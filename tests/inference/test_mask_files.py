"""Prediction of files: what is written for every kind of picture, and what is said where it cannot be."""

import errno
import os
import struct
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from segjax.data.formats.bands import Bands
from segjax.data.formats.classes import voc_palette
from segjax.data.formats.images import read_raster
from segjax.inference import InferenceError, Summary, Tiling, predict_mask_files

NAMES = ("rot/red", "grün", "blau")
PALETTE = ((200, 30, 30), (30, 200, 30), (30, 30, 200))
# By its name: sizes, types and values of the tags that place a picture on earth.
GEO_TAGS: dict[int, tuple[int, Any]] = {
    33550: (12, (0.25, 0.25, 0.0)),
    33922: (12, (0.0, 0.0, 0.0, -12.5, 47.125, 0.0)),
    34735: (3, (1, 1, 0, 2, 1024, 0, 1, 2, 2048, 0, 1, 4326)),
    34736: (12, (6378137.0, 298.257223563)),
    34737: (2, "WGS 84|"),
}


class Brightest(nn.Module):
    """The class of a pixel is its brightest channel."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        return jnp.asarray(image, jnp.float32) / 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made" / "here"


def predicted(paths: list[Path], out: Path, **settings: Any) -> Summary:
    return predict_mask_files(Brightest(), {}, paths, out, class_names=NAMES, palette=PALETTE, **settings)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def saved(path: Path, pixels: np.ndarray, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **settings)
    return path


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def written(out: Path) -> set[str]:
    return {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}


def test_a_mask_with_a_palette_and_an_overlay(folder: Path, out: Path, capsys):
    pixels = noise(37, 61)
    summary = predicted([saved(folder / "a b.png", pixels)], out)
    assert summary.done == (out / "a b.png",)
    assert summary.failed == ()
    assert written(out) == {"a b.png", "a b_overlay.png"}
    with Image.open(out / "a b.png") as mask:
        assert mask.mode == "P"
        assert (mask.getpalette() or [])[:9] == [*PALETTE[0], *PALETTE[1], *PALETTE[2]]
        np.testing.assert_array_equal(np.array(mask), pixels.argmax(-1))
    assert "1/1" in (shown := capsys.readouterr().err)
    assert "images/s" in shown


def test_the_overlay_shows_picture_colours_borders_and_legend(folder: Path, out: Path):
    pixels = np.full((400, 500, 3), (90, 60, 60), np.uint8)
    pixels[:, 200:] = (60, 60, 90)
    predicted([saved(folder / "a.png", pixels)], out)
    overlay = read(out / "a_overlay.png")
    assert overlay.shape[1] == 500
    assert 420 < overlay.shape[0] < 450
    np.testing.assert_allclose(overlay[10, 100], 0.55 * pixels[10, 100] + 0.45 * np.array(PALETTE[0]), atol=1)
    np.testing.assert_allclose(overlay[10, 400], 0.55 * pixels[10, 400] + 0.45 * np.array(PALETTE[2]), atol=1)
    assert (overlay[:400, 199] == 255).all()
    legend = overlay[400:].reshape(-1, 3).tolist()
    assert list(PALETTE[0]) in legend
    assert list(PALETTE[2]) in legend
    assert list(PALETTE[1]) not in legend  # no such pixel


@pytest.mark.parametrize("shape", [(1, 1), (3000, 2), (20, 2500)])
def test_overlays_of_small_and_large_pictures_can_be_looked_at(folder: Path, out: Path, shape: tuple[int, int]):
    predicted([saved(folder / "a.png", noise(*shape))], out)
    height, width, _ = read(out / "a_overlay.png").shape
    assert 100 < width <= 2048
    assert 30 < height < 2300
    assert read(out / "a.png").shape == shape


def test_pictures_of_any_mode(folder: Path, out: Path):
    pixels = noise(9, 14)
    expected = pixels.argmax(-1)
    alpha = np.full((9, 14, 1), 7, np.uint8)
    saved(folder / "rgba.png", np.concatenate([pixels, alpha], -1))
    saved(folder / "grey.png", pixels[..., 0])
    saved(folder / "grey16.png", pixels[..., 0].astype(np.uint16) * 257)
    saved(folder / "webp.WEBP", pixels, lossless=True)
    Image.fromarray(pixels).quantize(256).save(folder / "palette.png")
    assert len(predicted([folder], out).done) == 5
    for name in ("rgba", "webp"):
        np.testing.assert_array_equal(read(out / f"{name}.png"), expected)
    for name in ("grey", "grey16"):
        assert (read(out / f"{name}.png") == 0).all()
    assert (read(out / "palette.png") == expected).mean() > 0.9


def test_the_mask_lies_as_the_picture_is_seen(folder: Path, out: Path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[..., 0] = 200
    pixels[:, 16:] = (0, 0, 200)
    exif = Image.Exif()
    exif[274] = 6  # shown turned clockwise: what is left comes to the top
    saved(folder / "phone.jpg", pixels, exif=exif, quality=95)
    predicted([folder], out)
    mask = read(out / "phone.png")
    assert mask.shape == (32, 16)
    assert (mask[:15] == 0).all()
    assert (mask[17:] == 2).all()


def tags_of(path: Path) -> dict[int, tuple[int, Any]]:
    """Type and value of every tag of a little-endian TIFF, read without a library."""
    data = path.read_bytes()
    assert data[:4] == b"II*\0"
    (offset,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, offset)
    tags = {}
    for i in range(count):
        entry = offset + 2 + 12 * i
        tag, kind, length = struct.unpack_from("<HHI", data, entry)
        code = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 12: "d"}[kind]
        layout = f"<{length}s" if kind == 2 else "<" + code * length
        place = entry + 8 if struct.calcsize(layout) <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
        value = struct.unpack_from(layout, data, place)
        tags[tag] = (kind, value[0].rstrip(b"\0").decode() if kind == 2 else value)
    return tags


def geotiff(path: Path, pixels: np.ndarray, **more: int) -> Path:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, (kind, value) in GEO_TAGS.items():
        tags.tagtype[tag] = kind
        tags[tag] = value
    tags.tagtype[42113] = 2
    tags[42113] = "0"  # no data
    if "orientation" in more:
        tags[274] = more["orientation"]
    return saved(path, pixels, tiffinfo=tags)


def test_a_geotiff_gives_a_mask_that_lies_where_it_lies(folder: Path, out: Path):
    pixels = noise(30, 40)
    predicted([geotiff(folder / "scene.tif", pixels)], out)
    assert written(out) == {"scene.png", "scene_overlay.png", "scene.tif"}
    np.testing.assert_array_equal(read(out / "scene.tif"), pixels.argmax(-1))
    tags = tags_of(out / "scene.tif")
    assert {tag: tags[tag] for tag in GEO_TAGS} == GEO_TAGS
    assert tags[42113] == (2, "255")  # and not the image's own: zero is a class
    assert tags[262] == (3, (3,))  # palette colour


class OfThreeHundred(nn.Module):
    """The class is red and 256 times green."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        red, green, _ = jnp.moveaxis(jnp.asarray(image, jnp.int32), -1, 0)
        return jax.nn.one_hot(red + 256 * green, 300)


def test_three_hundred_classes_are_written_in_sixteen_bits_where_they_lie(folder: Path, out: Path):
    ids = np.random.default_rng(0).integers(1, 300, (30, 40))
    ids[0, :3] = 255, 256, 299
    pixels = np.stack([ids % 256, ids // 256, ids * 0], axis=-1).astype(np.uint8)
    pixels[5:9, 5:9] = 0  # what has no data
    names, palette = [f"kind {number}" for number in range(300)], voc_palette(300)
    path = geotiff(folder / "scene.tif", pixels)
    predict_mask_files(OfThreeHundred(), {}, [path], out, class_names=names, palette=palette)
    expected = np.where(pixels.any(-1), ids, 65535)
    for name in ("scene.png", "scene.tif"):
        assert read(out / name).dtype == np.uint16
        np.testing.assert_array_equal(read(out / name), expected)
    tags = tags_of(out / "scene.tif")
    assert {tag: tags[tag] for tag in GEO_TAGS} == GEO_TAGS
    assert tags[42113] == (2, "65535")


def test_tiffs_that_do_not_say_where_they_lie_give_no_tif(folder: Path, out: Path):
    saved(folder / "plain.tif", noise(6, 7))
    predicted([folder], out)
    assert not [name for name in written(out) if name.endswith(".tif")]


def test_what_has_no_data_is_no_class(folder: Path, out: Path):
    pixels = noise(30, 40).clip(1)
    pixels[:9, 5:] = 0
    there = pixels.any(-1)
    predicted([geotiff(folder / "scene.tif", pixels)], out, probabilities="npy")
    for name in ("scene.png", "scene.tif"):
        np.testing.assert_array_equal(read(out / name), np.where(there, pixels.argmax(-1), 255))
    shares = np.load(out / "scene_probabilities.npy")
    np.testing.assert_array_equal(np.isnan(shares).any(-1), ~there)
    placed = read_raster(out / "scene_probabilities.tif")
    np.testing.assert_array_equal(placed.pixels[there], shares[there])
    np.testing.assert_array_equal(placed.missing, ~there)
    predicted([folder], out, probabilities="png")
    assert (read(out / "scene_0_rot_red.png")[~there] == 0).all()
    pixels[:] = 0
    predicted([geotiff(folder / "scene.tif", pixels)], out)
    assert (read(out / "scene.png") == 255).all()


def test_a_world_file_places_the_mask(folder: Path, out: Path):
    saved(folder / "a.jpg", noise(9, 14))
    (folder / "a.jgw").write_text("10\n0\n0\n-10\n500005\n5399995\n")
    (folder / "a.prj").write_text("PROJCS[]")
    predicted([folder], out)
    assert written(out) == {"a.png", "a_overlay.png", "a.tif", "a.tif.aux.xml"}
    matrix = (10.0, 0.0, 0.0, 5e5, 0.0, -10.0, 0.0, 5.4e6, *[0.0] * 7, 1.0)
    assert tags_of(out / "a.tif")[34264] == (12, matrix)
    predicted([out / "a.tif"], out / "again", probabilities="npy")  # of which the .aux.xml says the system
    for name in ("a.tif", "a_probabilities.tif"):
        assert tags_of(out / "again" / name)[34264] == (12, matrix)
        assert (out / "again" / f"{name}.aux.xml").read_bytes() == (out / "a.tif.aux.xml").read_bytes()


def test_an_image_of_another_depth_is_left_out_by_name(folder: Path, out: Path):
    saved(folder / "a.png", noise(9, 14))
    saved(folder / "deep.png", noise(9, 14)[..., 0].astype(np.uint16))
    summary = predicted([folder], out, bands=Bands())
    assert [path.name for path in summary.done] == ["a.png"]
    assert "deep.png has uint16 where the images of the set have uint8" in summary.failed[0]


def test_probabilities_as_npy(folder: Path, out: Path):
    pixels = noise(300, 210)
    predicted([saved(folder / "a.png", pixels)], out, probabilities="npy", tiling=Tiling(192, margin=0))
    probabilities = np.load(out / "a_probabilities.npy")
    exponents = np.exp(pixels / 32)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, exponents / exponents.sum(-1, keepdims=True), atol=1e-5)


def test_probabilities_as_png(folder: Path, out: Path):
    pixels = noise(300, 210)
    predicted([saved(folder / "a.png", pixels)], out, probabilities="png", tiling=Tiling(192, margin=0))
    names = ["a_0_rot_red.png", "a_1_grün.png", "a_2_blau.png"]
    assert written(out) == {"a.png", "a_overlay.png", *names}
    exponents = np.exp(pixels / 32)
    expected = exponents / exponents.sum(-1, keepdims=True)
    for k, name in enumerate(names):
        with Image.open(out / name) as image:
            assert image.mode == "I;16"
            np.testing.assert_allclose(np.array(image) / 65535, expected[..., k], atol=2e-5)


def test_what_cannot_be_read_is_named_and_left_out(folder: Path, out: Path, capsys):
    saved(folder / "good.png", noise(5, 5))
    (folder / "[1] text.png").write_text("not a picture")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("left alone")
    (folder / ".hidden.png").write_text("left alone")
    missing, nothing = folder / "missing.png", folder / "no*.gif"
    (folder.parent / "bare").mkdir()
    summary = predicted([folder, missing, nothing, folder.parent / "bare"], out)
    assert summary.done == (out / "good.png",)
    assert len(summary.failed) == 5
    shown = capsys.readouterr().err
    for sentence in (
        f"{missing} is not there: check the name.",
        f"{nothing} matches no images",
        f"{folder.parent / 'bare'} holds no images",
        f"{folder / '[1] text.png'} is no image",
        f"{folder / 'empty.jpg'} is empty (0 bytes)",
    ):
        assert [failed for failed in summary.failed if failed.startswith(sentence)], summary.failed
        assert sentence in shown.replace("\n", "")
    assert written(out) == {"good.png", "good_overlay.png"}


def test_folders_and_globs_keep_the_paths_below_them(folder: Path, out: Path):
    for name in ("a.png", "x/a.png", "x/y/b.JPG", "x/[z].png"):
        saved(folder / name, noise(4, 4))
    os.symlink(folder, folder / "loop")
    assert len(predicted([folder, folder / "a.png"], out / "1").done) == 4
    assert {"a.png", "x/a.png", "x/y/b.png", "x/[z].png"} <= written(out / "1")
    predicted([folder / "x" / "**" / "*.png"], out / "2")
    assert written(out / "2") == {"a.png", "a_overlay.png", "[z].png", "[z]_overlay.png"}
    predicted([folder / "x" / "[z].png"], out / "3")
    assert written(out / "3") == {"[z].png", "[z]_overlay.png"}


@pytest.mark.parametrize(
    ("names", "masks"),
    [
        (["x/a.png", "y/a.png"], {"x/a.png", "y/a.png"}),
        (["x/a.png", "x/a.jpg"], {"a.png.png", "a.jpg.png"}),
        (["x/a.png", "x/A.jpg"], {"a.png.png", "A.jpg.png"}),
        (["x/a.png", "x/a_overlay.png"], {"a.png.png", "a_overlay.png.png"}),
    ],
)
def test_results_of_one_name_are_told_apart(folder: Path, out: Path, names: list[str], masks: set[str]):
    paths = [saved(folder / name, noise(4, 4)) for name in names]
    for order in (paths, paths[::-1]):
        assert {mask.relative_to(out).as_posix() for mask in predicted(order, out).done} == masks
    assert len(written(out)) == 2 * len(names)


def test_an_input_is_never_overwritten(folder: Path):
    path = saved(folder / "a.png", noise(4, 4))
    before = path.read_bytes()
    with pytest.raises(InferenceError, match=r"a\.png is one of the images to predict .*: give --out another folder"):
        predicted([path], folder)
    assert path.read_bytes() == before
    predicted([saved(folder / "b.jpg", noise(4, 4))], folder)  # nothing of b's is in the way
    assert (folder / "b.png").exists()


def test_names_that_are_not_as_many_as_the_classes(folder: Path, out: Path):
    saved(folder / "a.png", noise(4, 4))
    with pytest.raises(InferenceError, match="the model tells 3 classes, but class_names has 2"):
        predict_mask_files(Brightest(), {}, [folder], out, class_names=NAMES[:2], palette=PALETTE)


def test_an_output_folder_that_cannot_be(folder: Path, out: Path):
    saved(folder / "a.png", noise(4, 4))
    out.parent.mkdir()
    out.write_text("a file")
    with pytest.raises(InferenceError, match=r"a\.png cannot be written to .*here \(.*\): make room"):
        predicted([folder], out)


@pytest.mark.parametrize("probabilities", [None, "npy", "png"])
def test_a_full_disk_leaves_the_earlier_results(folder: Path, out: Path, monkeypatch, probabilities: Any):
    for name in "abc":
        saved(folder / f"{name}.png", noise(4, 4))
    predicted([folder], out)
    before = {name: (out / name).read_bytes() for name in written(out)}
    for name in "abc":
        saved(folder / f"{name}.png", noise(5, 5))
    replace = Path.replace

    def until_full(self: Path, target: Path) -> Path:
        if target.name == "b_overlay.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", until_full)
    with pytest.raises(InferenceError, match=r"b\.png cannot .*No space left.*1 of 3 images are done"):
        predicted([folder], out, probabilities=probabilities)
    assert read(out / "a.png").shape == (5, 5)
    for name in ("b_overlay.png", "c.png", "c_overlay.png"):
        assert (out / name).read_bytes() == before[name]
    assert not list(out.glob(".*"))
