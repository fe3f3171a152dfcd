"""Every layout of TIFF against the numbers that were written, by a writer that shares nothing with the reader."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file

from segjax.data.formats.images import read_image
from segjax.data.formats.mask_files import read_mask
from segjax.data.formats.tiff import read_pages, read_pixels
from segjax.errors import DataError

RNG = np.random.default_rng(0)


def samples(dtype: str, bands: int) -> np.ndarray:
    values = RNG.normal(size=(11, 13, bands)) * 300
    return values.astype(dtype) if dtype[0] == "f" else RNG.integers(0, 100, (11, 13, bands)).cumsum(1).astype(dtype)


def read(data: bytes) -> np.ndarray:
    stream = io.BytesIO(data)
    (page,) = read_pages(stream)
    return read_pixels(stream, page, "x.tif")


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u8", "f2", "f4", "f8"])
def test_every_layout_gives_the_numbers_that_were_written(dtype: str):
    for bands, order, planar, compression, tile in itertools.product(
        (1, 3, 4, 13), "<>", (1, 2), (1, 8, 32773), (None, (16, 16), (4, 8))
    ):
        pixels = samples(dtype, bands)
        for predictor in (1, 2, 3) if compression == 8 else (1,):
            if predictor == 3 and dtype[0] != "f":
                continue
            how = {"order": order, "planar": planar, "compression": compression, "predictor": predictor, "tile": tile}
            found = read(tiff_file(pixels, **how, big=bands == 4))
            assert found.dtype == pixels.dtype, how
            np.testing.assert_array_equal(found, pixels, err_msg=str(how))


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_samples_of_other_sizes_than_bytes(bits: int):
    pixels = RNG.integers(0, 2**bits, (7, 11, 3)).astype(np.uint16 if bits > 8 else np.uint8)
    for planar in (1, 2):
        np.testing.assert_array_equal(read(tiff_file(pixels, bits=bits, planar=planar)), pixels)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 8])
def test_up_to_8_bits_of_grey_and_colour_go_up_to_white(bits: int):
    white = 2**bits - 1
    for (bands, photometric), order, big, compression, planar in itertools.product(
        ((1, 0), (1, 1), (3, 2)), "<>", (False, True), (1, 8, 32773), (1, 2)
    ):
        how = {"order": order, "big": big, "compression": compression, "planar": planar, "photometric": photometric}
        stored = RNG.integers(0, white + 1, (19, 21, bands)).astype(np.uint8)
        data = tiff_file(stored, bits=bits, tile=(16, 16), **how)
        level = (stored if photometric else white - stored) * (255 // white)
        expected = level if bands == 3 else np.repeat(level, 3, 2)
        np.testing.assert_array_equal(read_image("x.tif", data=data), expected, err_msg=str(how))
        if bands == 1:
            labels = white - stored if (bits, photometric) == (1, 0) else stored
            np.testing.assert_array_equal(read_mask("x.tif", data=data), labels[..., 0], err_msg=str(how))


def test_what_libtiff_packs_is_unpacked():
    grey = RNG.integers(0, 9, (40, 50)).astype(np.uint8)
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "lzma"):
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "TIFF", compression=compression)
        np.testing.assert_array_equal(read(file.getvalue())[..., 0], grey, err_msg=compression)


def test_separate_planes_are_the_picture_of_interleaved_ones():
    deep = samples("u2", 3)
    for planar in (1, 2):
        np.testing.assert_array_equal(read_image("x.tif", data=tiff_file(deep, photometric=2, planar=planar)), deep)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_no_band_disappears(dtype: str):
    for bands, extra in ((4, [0]), (4, [0, 0, 0]), (13, [0] * 12)):
        pixels = samples(dtype, bands)
        found = read_image(
            "x.tif", data=tiff_file(pixels, extra=extra, photometric=2 if len(extra) == bands - 3 else 1)
        )
        np.testing.assert_array_equal(found, pixels)


def test_opacity_is_dropped_unless_it_is_asked_for():
    pixels = samples("u2", 4)
    data = tiff_file(pixels, photometric=2, extra=[2])
    np.testing.assert_array_equal(read_image("x.tif", data=data), pixels[..., :3])
    np.testing.assert_array_equal(read_image("x.tif", data=data, bands=(4, 1)), pixels[..., [3, 0]])
    with pytest.raises(DataError, match=r"x\.tif has 4 bands, and band 5 is asked for by --bands"):
        read_image("x.tif", data=data, bands=(5,))


def test_white_as_zero_is_turned_over_in_images():
    deep = samples("u2", 1)
    np.testing.assert_array_equal(
        read_image("x.tif", data=tiff_file(deep, photometric=0)), np.repeat(65535 - deep, 3, 2)
    )


def test_masks_of_every_kind_of_number():
    labels = RNG.integers(0, 4, (11, 13, 1))
    for dtype in ("u1", "u2", "i2", "u4", "i4", "f4", "f8"):
        data = tiff_file(labels.astype(dtype), order=">", compression=8, tile=(16, 16))
        np.testing.assert_array_equal(read_mask("x.tif", data=data), labels[..., 0])
    gaps = np.where(labels == 3, -9999, labels).astype(np.int16)
    data = tiff_file(gaps, tags=[(42113, 2, b"-9999\0")])
    np.testing.assert_array_equal(read_mask("x.tif", data=data), np.where(labels == 3, 255, labels)[..., 0])
    with pytest.raises(DataError, match="is a mask of 4 bands"):
        read_mask("x.tif", data=tiff_file(samples("u2", 4)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((259, 34887), r"of 16 bits whose compression \(number 34887\) is not read: .*COMPRESS=DEFLATE"),
        ((262, 5), r"colours \(photometric interpretation 5\) are neither grey nor RGB"),
        ((339, 6), "samples of 16 bits, a kind that is not read"),
    ],
)
def test_what_is_not_read_is_said(change: tuple[int, int], sentence: str):
    data = bytearray(tiff_file(samples("u2", 1)))
    at = int.from_bytes(data[4:8], "little") + 2
    for entry in range(at, len(data) - 12, 12):
        if int.from_bytes(data[entry : entry + 2], "little") == change[0]:
            data[entry + 8 : entry + 10] = change[1].to_bytes(2, "little")
            break
    with pytest.raises(DataError, match=sentence):
        read_image("x.tif", data=bytes(data))


def test_a_part_that_is_cut_short_is_damage_and_one_left_out_is_empty():
    data = tiff_file(samples("u2", 13), compression=8)
    for cut in (data[:-9], data[: len(data) // 2], data[:9]):
        with pytest.raises(DataError, match="damaged"):
            read_image("x.tif", data=cut)
    sparse = tiff_file(samples("u2", 4), rows=20, tags=[(42113, 2, b"7\0")])
    page = read_pages(io.BytesIO(sparse))[0]
    page.tags[279] = np.zeros(1, int)
    assert (read_pixels(io.BytesIO(sparse), page, "x") == 7).all()


@pytest.mark.parametrize("compression", [1, 32773])
def test_parts_that_gdal_leaves_out_of_8_bits_are_empty(compression: int):
    pixels = RNG.integers(1, 5, (20, 13, 3)).astype(np.uint8)
    for bands, photometric in ((1, 1), (3, 2), (1, 3)):
        palette = [(320, 3, [0] * 768)] if photometric == 3 else []
        data = bytearray(tiff_file(pixels[..., :bands], compression=compression, photometric=photometric, tags=palette))
        page = read_pages(io.BytesIO(data))[0]
        counts = page.tags[279].astype("<u4").tobytes()
        at = data.index(counts)
        data[at + 4 : at + 12] = bytes(8)
        expected = pixels[..., :bands].copy()
        expected[5:15] = 0
        if photometric == 3:
            with pytest.raises(DataError, match="leaves out empty parts: save it whole, as `gdal_translate` does"):
                read_mask("x.tif", data=bytes(data))
            continue
        found = read_image("x.tif", data=bytes(data))
        np.testing.assert_array_equal(found, np.repeat(expected, 3 // bands, 2))
        if bands == 1:
            np.testing.assert_array_equal(read_mask("x.tif", data=bytes(data)), expected[..., 0])
