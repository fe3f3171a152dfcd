"""Where an image lies, by its tags and by files beside it, and turned as it is turned."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiff_files import tiff_file

from segjax.data.formats.opened import upright_pixels
from segjax.errors import DataError
from segjax.inference.georeference import Place, place_of
from segjax.inference.tiff_file import tiff_writer

SIZE = (20, 30)
PIXELS = np.zeros((*SIZE, 3), np.uint8)
SCALE, TIE = (33550, 12, [10.0, 5.0, 0.0]), (33922, 12, [0, 0, 0, 5e5, 5.4e6, 0])
EXPECTED = np.array([[10, 0, 5e5], [0, -5, 5.4e6], [0, 0, 1]])


def keys(*pairs: tuple[int, int]) -> tuple[int, int, list[int]]:
    return 34735, 3, [1, 1, 0, len(pairs), *(number for key, value in pairs for number in (key, 0, 1, value))]


def saved(path: Path, **how) -> Path:
    Image.fromarray(PIXELS).save(path, **how)
    return path


def placed(path: Path) -> tuple[Place, np.ndarray]:
    place = place_of(path)
    assert place is not None
    assert place.affine is not None
    return place, place.affine


@pytest.mark.parametrize("how", [{}, {"order": ">"}, {"big": True}, {"order": ">", "big": True}])
def test_tags_of_every_kind_of_tiff(tmp_path: Path, how: dict):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_file(PIXELS, photometric=2, tags=[SCALE, TIE, keys((1024, 1), (3072, 32633))], **how))
    place, affine = placed(path)
    np.testing.assert_allclose(affine, EXPECTED)
    assert place.epsg == 32633
    assert place.aux_xml() is None
    path.write_bytes(tiff_file(PIXELS, photometric=2, tags=[SCALE, TIE, keys((1025, 2), (2048, 4326))], **how))
    place, affine = placed(path)  # the tie is to the middle of the pixel
    np.testing.assert_allclose(affine, EXPECTED - [[0, 0, 5], [0, 0, -2.5], [0, 0, 0]])
    assert place.epsg == 4326
    path.write_bytes(tiff_file(PIXELS, photometric=2, **how))
    assert place_of(path) is None


@pytest.mark.parametrize("name", ["a.jpg/a.jgw", "a.JPG/a.JGW", "a.png/a.pgw", "a.png/a.wld", "a.tif/a.tfw"])
def test_world_files(tmp_path: Path, name: str):
    image, world = name.split("/")
    saved(tmp_path / image)
    (tmp_path / world).write_text("10\n0\n0\n-5\n500005\n5399997.5\n")
    (tmp_path / "a.prj").write_text('PROJCS["somewhere"]')
    place, affine = placed(tmp_path / image)
    np.testing.assert_allclose(affine, EXPECTED)
    assert place.aux_xml() == b'<PAMDataset><SRS>PROJCS["somewhere"]</SRS></PAMDataset>'
    (tmp_path / world).write_text("10\n0\n")
    with pytest.raises(DataError, match="is no world file of six numbers"):
        place_of(tmp_path / image)
    (tmp_path / world).write_text("10\n0\n0\nnan\n500005\ninf\n")
    with pytest.raises(DataError, match=rf"{image} has NaN or infinity among the numbers of its place"):
        place_of(tmp_path / image)


def test_a_name_without_an_ending_is_placed_and_no_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "photo", format="PNG")
    monkeypatch.setattr(Path, "glob", None)  # which takes as long as the folder is large, for each of its images
    assert place_of(path) is None
    (tmp_path / "photo.wld").write_text("10\n0\n0\n-5\n500005\n5399997.5\n")
    np.testing.assert_allclose(placed(path)[1], EXPECTED)


def test_gdals_file_beside_an_image(tmp_path: Path):
    image = saved(tmp_path / "a.png")
    assert place_of(image) is None
    (tmp_path / "a.png.aux.xml").write_text(
        '<PAMDataset><SRS dataAxisToSRSAxisMapping="1,2">GEOGCS[&quot;x&quot;]</SRS>'
        "<GeoTransform> 5.0e+05, 1.0e+01, 0.0, 5.4e+06, 0.0, -5.0</GeoTransform></PAMDataset>"
    )
    place, affine = placed(image)
    np.testing.assert_allclose(affine, EXPECTED)
    assert place.wkt == 'GEOGCS["x"]'


def test_a_system_beside_a_tiff_whose_tags_say_none(tmp_path: Path):
    path = tmp_path / "a.tif"
    (tmp_path / "a.tif.aux.xml").write_text('<PAMDataset><SRS>PROJCS["somewhere"]</SRS></PAMDataset>')
    for tags, wkt in ([SCALE, TIE], 'PROJCS["somewhere"]'), ([SCALE, TIE, keys((3072, 32633))], None):
        path.write_bytes(tiff_file(PIXELS, photometric=2, tags=tags))
        assert placed(path)[0].wkt == wkt


def test_letters_that_keys_count_as_bytes(tmp_path: Path):
    path, text = tmp_path / "a.tif", "Système|Ebène|".encode()
    path.write_bytes(tiff_file(PIXELS, photometric=2, tags=[SCALE, TIE, (34737, 2, text + b"\0")]))
    place, _ = placed(path)
    Image.fromarray(PIXELS).save(tmp_path / "mask.tif", tiffinfo=place.tiff_tags("255"))
    with tiff_writer(tmp_path / "shares.tif", (*SIZE, 3), ["a", "b", "c"], place.tags) as add:
        add(0, PIXELS)
    for name in ("mask.tif", "shares.tif"):
        assert placed(tmp_path / name)[0].tags[34737] == text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("point", [False, True])
def test_what_is_turned_upright_lies_where_it_lay(tmp_path: Path, orientation: int, point: bool):
    path = tmp_path / "a.tif"
    tags = [SCALE, TIE, (274, 3, [orientation]), keys((1025, 1 + point))]
    path.write_bytes(tiff_file(PIXELS, photometric=2, tags=tags))
    place, affine = placed(path)
    numbers = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE)
    upright = upright_pixels(numbers, orientation)
    row, column = (int(place_) for place_ in np.argwhere(upright == numbers[3, 7])[0])
    there = affine @ (column + 0.5, row + 0.5, 1)
    stored = EXPECTED @ (7.5 - 0.5 * point, 3.5 - 0.5 * point, 1)
    np.testing.assert_allclose(there, stored)
    written = tmp_path / "b.tif"
    Image.fromarray(upright.astype(np.uint8)).save(written, tiffinfo=place.tiff_tags("255"))
    np.testing.assert_allclose(placed(written)[1], affine)
