"""Images by windows, in files as rasterio, tifffile and zarr write them."""

import resource
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
import zarr
from rasterio.shutil import copy
from rasterio.transform import from_origin

from segjax.data import DataError, folder
from segjax.data.check.masks import check_masks as check
from segjax.data.checked import checked
from segjax.data.formats import scenes
from segjax.data.formats.images import read_raster
from segjax.data.formats.mask_files import decode_mask
from segjax.data.formats.scenes import open_scene, windows

SIZE = 300, 420


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch):
    """What is large here."""
    monkeypatch.setattr(scenes, "LARGE", 100 * 100)


def pixels(bands: int, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 250, (*SIZE, bands)).astype(dtype)


def cog(path: Path, image: np.ndarray, **options: object) -> Path:
    """A Cloud-Optimised GeoTIFF with overviews, as GDAL writes it."""
    settings = {"height": SIZE[0], "width": SIZE[1], "count": image.shape[2], "dtype": image.dtype, "crs": "EPSG:32633"}
    with rasterio.open(
        path.with_suffix(".plain.tif"), "w", transform=from_origin(5e5, 5e6, 10, 10), **settings
    ) as file:
        file.write(np.moveaxis(image, -1, 0))
    copy(path.with_suffix(".plain.tif"), path, driver="COG", blocksize=128, overview_count=1, **options)
    path.with_suffix(".plain.tif").unlink()
    return path


def ome_tiff(path: Path, image: np.ndarray) -> Path:
    planes = np.moveaxis(image, -1, 0)
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": "CYX"}, tile=(64, 64), photometric="minisblack")
    return path


def ome_zarr(path: Path, image: np.ndarray) -> Path:
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array("0", shape=(1, image.shape[2], 1, *SIZE), chunks=(1, 1, 1, 64, 64), dtype=image.dtype)
    array[0, :, 0] = np.moveaxis(image, -1, 0)
    axes = [{"name": name} for name in "tczyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    return path


WRITERS = {
    "cog.tif": lambda path, image: cog(path, image, compress="DEFLATE", predictor="YES"),
    "lerc.tif": lambda path, image: cog(path, image, compress="LERC_DEFLATE"),
    "a.ome.tif": ome_tiff,
    "a.ome.zarr": ome_zarr,
    "named.zarr": lambda path, image: zarr.create_array(
        path, data=image.transpose(1, 0, 2), chunks=(64, 64, image.shape[2]), dimension_names=("x", "y", "band")
    ),
    "a.zarr": lambda path, image: zarr.create_array(path, data=image, chunks=(64, 64, image.shape[2])),
}


@pytest.mark.parametrize("name", WRITERS)
def test_windows_put_together_are_the_image(tmp_path: Path, name: str):
    image = pixels(5)
    WRITERS[name](tmp_path / name, image)
    scene = open_scene(tmp_path / name)
    assert scene is not None
    assert scene.shape == image.shape
    again, places = np.zeros_like(image), list(windows(image.shape, 128))
    for window in places:
        part = scene.read(window)
        assert part.missing is None
        again[window] = part.pixels
    np.testing.assert_array_equal(again, image)
    assert len(places) == 12
    np.testing.assert_array_equal(scene.read((slice(7, 8), slice(130, 260))).pixels, image[7:8, 130:260])
    if name != "lerc.tif":  # which is read by windows alone
        np.testing.assert_array_equal(read_raster(tmp_path / name).pixels, image)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("tiled", [True, False])
def test_strips_and_tiles_are_read_where_a_window_touches_them(tmp_path: Path, interleave: str, tiled: bool):
    image = pixels(3, np.float32)
    image[40:60] = -9999
    settings = {"height": SIZE[0], "width": SIZE[1], "count": 3, "dtype": "float32", "interleave": interleave}
    settings |= {"tiled": True, "blockxsize": 64, "blockysize": 32} if tiled else {"blockysize": 7}
    with rasterio.open(tmp_path / "a.tif", "w", compress="LZW", nodata=-9999, **settings) as file:
        file.write(np.moveaxis(image, -1, 0))
    scene = open_scene(tmp_path / "a.tif")
    assert scene is not None
    part = scene.read((slice(33, 290), slice(65, 419)))
    assert part.missing is not None
    assert part.missing[7:27].all()
    assert part.missing.sum() == 20 * 354
    np.testing.assert_array_equal(part.pixels[~part.missing], image[33:290, 65:419][~part.missing])


@pytest.mark.parametrize(("bits", "white"), [(1, 255), (2, 255), (8, 255), (16, 65535)])
@pytest.mark.parametrize("white_is_0", [False, True])
def test_windows_are_as_bright_as_the_whole(tmp_path: Path, bits: int, white: int, white_is_0: bool):
    stored = (pixels(1, int) % 2**bits).astype(np.uint16 if bits == 16 else np.uint8)
    settings = {"height": SIZE[0], "width": SIZE[1], "count": 1, "dtype": stored.dtype.name, "nbits": bits}
    settings["photometric"] = "MINISWHITE" if white_is_0 else "MINISBLACK"
    with rasterio.open(tmp_path / "a.tif", "w", nodata=1, **settings) as file:
        file.write(stored[..., 0], 1)
    level = stored * (white // (2**bits - 1))
    scene = open_scene(tmp_path / "a.tif")
    assert scene is not None
    for found in (scene.read((slice(0, 300), slice(0, 420))), read_raster(tmp_path / "a.tif")):
        assert found.missing is not None
        np.testing.assert_array_equal(found.missing, stored[..., 0] == 1)
        there = found.pixels[~found.missing]
        np.testing.assert_array_equal(there[:, 0], (white - level if white_is_0 else level)[~found.missing][:, 0])
    window = slice(7, 30), slice(0, 420)
    np.testing.assert_array_equal(
        decode_mask(tmp_path / "a.tif", window=window), decode_mask(tmp_path / "a.tif")[window]
    )


def test_colours_of_a_palette_are_not_taken_for_grey(tmp_path: Path):
    settings = {"height": SIZE[0], "width": SIZE[1], "count": 1, "dtype": "uint8", "photometric": "PALETTE"}
    with rasterio.open(tmp_path / "a.tif", "w", **settings) as file:
        file.write(pixels(1, np.uint8)[..., 0], 1)
        file.write_colormap(1, {1: (9, 200, 3, 255)})
    scene = open_scene(tmp_path / "a.tif")
    assert scene is not None
    with pytest.raises(DataError, match=r"photometric interpretation 3\) are neither grey nor RGB: convert it"):
        scene.read((slice(0, 9), slice(0, 9)))


def test_a_large_image_trains_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scenes.windows, "__defaults__", (128,))
    image = pixels(4)
    mask = (image[..., :1] % 3).astype(np.uint8)
    for part, values in (("images", image), ("masks", mask)):
        (tmp_path / part).mkdir()
        for name in "abcd":
            cog(tmp_path / part / f"{name}.tif", values + np.array(ord(name) - 97, values.dtype) * (part == "images"))
    report = check(tmp_path)
    assert [one.sentence for one in report.errors] == []
    assert (report.bands.count, report.bands.depth) == (4, "uint16")
    assert sum(one.counts.pixels.sum() for one in report.train) == len(report.train) * mask.size
    np.testing.assert_allclose(report.train[0].mean * 65535, image.mean((0, 1)) + 1.5, atol=2)
    source = checked(folder(tmp_path).open("test"))
    assert len(source) == 12
    key, _, corner = source.name_of(5).partition("@")
    top, left = map(int, corner.split(","))
    record = source[5]
    height, width = record["mask"].shape
    np.testing.assert_array_equal(record["mask"], mask[top : top + height, left : left + width, 0])
    shifted = image[top : top + height, left : left + width] + np.uint16(ord(key) - 97)
    np.testing.assert_array_equal(record["image"], shifted)


def test_a_window_takes_no_memory_of_the_whole(tmp_path: Path):
    """2.5 GB of pixels in a file of a few megabytes: one value everywhere, and tiles that are left out."""
    with rasterio.open(
        tmp_path / "a.tif", "w", height=50_000, width=50_000, count=1, dtype="uint8", tiled=True, blockxsize=512,
        blockysize=512, compress="DEFLATE", sparse_ok=True,
    ) as file:  # fmt: skip
        file.write(np.full((1, 64, 64), 7, np.uint8), window=((30_000, 30_064), (20_000, 20_064)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scene = open_scene(tmp_path / "a.tif")
    assert scene is not None
    part = scene.read((slice(30_000, 31_000), slice(20_000, 21_000)))
    assert (part.pixels[:64, :64] == 7).all()
    assert part.pixels[64:].max() == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_what_is_no_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    zarr.create_array(tmp_path / "time.zarr", data=np.zeros((2, 3, 200, 200), np.uint8))
    with pytest.raises(DataError, match=r"time\.zarr has the axes \? of \(2, 3, 200, 200\): give one image"):
        read_raster(tmp_path / "time.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match=r"empty\.zarr is no Zarr of one image"):
        read_raster(tmp_path / "empty.zarr")
    tifffile.imwrite(tmp_path / "stack.ome.tif", np.zeros((4, *SIZE), np.uint8), ome=True, metadata={"axes": "ZYX"})
    with pytest.raises(DataError, match="holds 4 frames"):
        read_raster(tmp_path / "stack.ome.tif")
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    zarr.create_array(tmp_path / "b.zarr", data=np.zeros((200, 200), np.uint8))
    with pytest.raises(DataError, match=r"b\.zarr is read by zarr: install it with `pip install 'segjax\[micro\]'`"):
        read_raster(tmp_path / "b.zarr")
