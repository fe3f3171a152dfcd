"""Probabilities as one TIFF of many bands, read back by what reads every TIFF."""

import io
from pathlib import Path

import numpy as np
import pytest

from segjax.data.formats.images import read_raster
from segjax.data.formats.tiff import read_pages
from segjax.inference import tiff_file
from segjax.inference.tiff_file import tiff_writer

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bands", [1, 4])
def test_what_is_written_in_strips_is_read_as_a_whole(tmp_path: Path, monkeypatch, big: bool, bands: int):
    monkeypatch.setattr(tiff_file, "_CLASSIC", 0 if big else 10**9)
    monkeypatch.setattr(tiff_file, "_STRIP_BYTES", 1000)
    shares = RNG.random((37, 11, bands)).astype(np.float32)
    shares[:5] = np.nan
    place = {33550: (10.0, 10.0, 0.0), 34735: (1, 1, 0, 0), 34737: "WGS 84|"}
    with tiff_writer(tmp_path / "a.tif", shares.shape, [f"<{k}>" for k in range(bands)], place) as add:
        buffer = np.empty((20, 11, bands), np.float32)
        for row in (0, 20):
            strip = buffer[: len(shares[row : row + 20])]
            strip[...] = shares[row : row + 20]
            add(row, strip)
            buffer[...] = -1  # a strip is only valid until the next
    found = read_raster(tmp_path / "a.tif", bands=tuple(range(1, bands + 1)))
    np.testing.assert_array_equal(found.pixels[5:], shares[5:])
    assert found.missing is not None
    np.testing.assert_array_equal(found.missing, np.isnan(shares).all(-1))
    (page,) = read_pages(io.BytesIO((tmp_path / "a.tif").read_bytes()))
    assert page.tags[33550].tolist() == [10, 10, 0]
    assert page.tags[34737].tobytes() == b"WGS 84|\0"
    assert b"&lt;0&gt;" in page.tags[42112].tobytes()
