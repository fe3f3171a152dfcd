"""Where image files have no data, and what is there instead."""

import io

import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file

from segjax.data.formats.images import read_raster
from segjax.data.formats.rasters import raster
from segjax.errors import DataError

RNG = np.random.default_rng(0)
RGB = RNG.integers(1, 200, (6, 9, 3)).astype(np.uint8)
GAP = np.zeros((6, 9), bool)
GAP[:2, 3:] = True


def nodata(text: bytes):
    return [(42113, 2, text + b"\0")]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_no_data_of_whole_numbers_is_where_all_bands_have_it(dtype: type):
    pixels = RGB.astype(dtype)
    pixels[GAP] = 0
    pixels[5, 5] = (0, 9, 9)  # a colour
    found = read_raster("x.tif", data=tiff_file(pixels, photometric=2, tags=nodata(b"0")))
    np.testing.assert_array_equal(found.missing, GAP)
    np.testing.assert_array_equal(found.pixels[~GAP], pixels[~GAP])
    np.testing.assert_allclose(found.pixels[GAP], np.broadcast_to(pixels[~GAP].mean(0), (12, 3)), atol=1)
    assert read_raster("x.tif", data=tiff_file(RGB, photometric=2, tags=nodata(b"0"))).missing is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -9999, -3.4028234663852886e38])
def test_no_data_of_floating_point_is_filled_in_every_band(value: float):
    pixels = RGB.astype(np.float32)
    pixels[GAP] = value
    pixels[5, 5, 1] = value
    found = read_raster("x.tif", data=tiff_file(pixels, tags=nodata(repr(value).encode())))
    np.testing.assert_array_equal(found.missing, GAP)
    assert np.isfinite(found.pixels).all()
    others = np.ones((6, 9), bool) & ~GAP
    others[5, 5] = False
    np.testing.assert_allclose(found.pixels[5, 5, 1], pixels[others][:, 1].mean(), rtol=1e-6)
    np.testing.assert_array_equal(found.pixels[others], pixels[others])


def test_the_files_own_mask_and_its_opacity_say_where_there_is_data():
    alpha = np.where(GAP, 0, 255).astype(np.uint8)
    found = read_raster("x.tif", data=tiff_file(np.dstack([RGB, alpha]), photometric=2, extra=[2]))
    np.testing.assert_array_equal(found.missing, GAP)
    infrared = np.dstack([RGB, RNG.integers(0, 256, (6, 9)).astype(np.uint8)])
    found = read_raster("x.tif", data=tiff_file(infrared, photometric=2, extra=[2]))
    assert found.missing is None
    assert found.odd_alpha
    png = io.BytesIO()
    Image.fromarray(np.dstack([RGB, alpha])).save(png, "PNG")  # where it is how a picture is cut out
    assert read_raster("x.png", data=png.getvalue()).missing is None
    of_mask = [(254, 4, [4]), (256, 3, [9]), (257, 3, [6]), (258, 3, [8]), (262, 3, [4]), (273, 4, [8]), (279, 4, [54])]
    for dtype in (np.uint8, np.uint16):  # read by Pillow, and by its tags
        pixels = RGB.astype(dtype)
        pixels.reshape(-1).view(np.uint8)[:54] = 1 - GAP.ravel()  # its first bytes are those of the mask
        data = tiff_file(pixels, photometric=2, rows=6, more=[of_mask])
        np.testing.assert_array_equal(read_raster("x.tif", data=data).missing, GAP)


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i1", "i2", "u4", "i4", "f2", "f4", "f8"])
def test_every_type_of_number_becomes_one_of_three(dtype: str):
    stored = RNG.integers(0, 2, (4, 5, 2)).astype(dtype)
    found = raster(stored, "x").pixels
    assert found.dtype == {"?": "uint8", "u1": "uint8", "u2": "uint16"}.get(dtype, "float32")
    np.testing.assert_array_equal(found, stored.astype(np.float64))


def test_whole_numbers_that_would_be_rounded_are_refused():
    stored = np.full((2, 2, 1), 2**24 + 1, np.int32)
    with pytest.raises(DataError, match="x holds whole numbers of 16777217 to 16777217, more than float32 tells apart"):
        raster(stored, "x")
    stored[0] = 5
    assert raster(stored, "x", nodata=2**24 + 1).pixels[1, 0, 0] == 5
