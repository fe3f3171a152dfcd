import io
import itertools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segjax.data import Record
from segjax.data.formats.images import read_image
from segjax.data.formats.shards import ShardWriter, decoded, encoded
from segjax.errors import DataError

RNG = np.random.default_rng(0)


def numbers(most: int, *shape: int, dtype: str = "uint8") -> np.ndarray:
    return RNG.integers(0, most, shape).astype(dtype)


NO_BOX = {"boxes": np.zeros((0, 4), np.float32), "labels": np.zeros(0, np.int32), "crowd": np.zeros(0, bool)}
RECORDS = {
    "rgb": Record(image=numbers(256, 20, 17, 3), mask=numbers(5, 20, 17)),
    "16 bits": Record(image=numbers(65536, 20, 17, 3, dtype="uint16"), mask=numbers(9000, 20, 17, dtype="uint16")),
    "labels": Record(image=numbers(256, 9, 5, 3), mask=numbers(2, 9, 5, 4)),
    "one label": Record(image=numbers(256, 9, 5, 1), mask=numbers(2, 9, 5, 1)),
    "four bands": Record(image=numbers(256, 9, 5, 4), mask=numbers(2, 9, 5)),
    "float": Record(image=RNG.normal(size=(9, 5, 2)).astype(np.float32), mask=numbers(2, 9, 5)),
    "one pixel": Record(image=numbers(65536, 1, 1, 1, dtype="uint16"), mask=numbers(2, 1, 1)),
    "no box": Record(image=numbers(256, 2, 3, 3), **NO_BOX, attributes=np.zeros((0, 3), np.float32)),
    "boxes": Record(
        image=numbers(256, 2, 3, 3),
        mask=numbers(2, 2, 3),
        boxes=RNG.random((4, 4)).astype(np.float32),
        labels=np.arange(4, dtype=np.int32),
        crowd=np.array([True, False, True, False]),
        attributes=np.array([[0.1, np.nan]] * 4, np.float32),
    ),
}


def written(path: Path, records: list[Record]) -> list[bytes]:
    writer = ShardWriter(path)
    for number, record in enumerate(records):
        writer.add(number, encoded(record))
    offsets = writer.close()
    content = path.read_bytes()
    return [content[start:end] for start, end in itertools.pairwise(offsets)]


def test_records_come_back_bit_for_bit(tmp_path: Path):
    for record, content in zip(RECORDS.values(), written(tmp_path / "a.zip", list(RECORDS.values())), strict=True):
        back: dict[str, Any] = {**decoded(content, len(content), "it")}
        assert back.keys() == record.keys()
        for name, values in dict[str, Any](record).items():
            assert back[name].dtype == values.dtype
            assert back[name].tobytes() == values.tobytes()
            assert back[name].shape == values.shape


def test_a_shard_is_an_archive_that_others_read(tmp_path: Path):
    written(tmp_path / "a.zip", [RECORDS["rgb"], RECORDS["boxes"]])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:3] == ["00000000/image.png", "00000000/mask.png", "00000001/image.png"]
        pixels = np.array(Image.open(io.BytesIO(archive.read("00000000/image.png"))))
        np.testing.assert_array_equal(pixels, RECORDS["rgb"]["image"])


def test_a_jpeg_stays_the_file_it_was_where_it_is_the_image():
    file = io.BytesIO()
    Image.fromarray(numbers(256, 20, 17, 3)).save(
        file, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    )
    image = read_image("it", data=file.getvalue())
    assert image.shape == (17, 20, 3)  # turned upright
    assert encoded(Record(image=image), file.getvalue()) == {"image.jpg": file.getvalue()}
    changed = Record(image=image + 1)
    assert list(encoded(changed, file.getvalue())) == ["image.png"]


@pytest.mark.parametrize("place", [0, 14, 40, 400, -1])
def test_another_byte_or_a_missing_one_is_damage(place: int, tmp_path: Path):
    (content,) = written(tmp_path / "a.zip", [RECORDS["rgb"]])
    changed = bytearray(content)
    changed[place] ^= 1
    for damaged in (bytes(changed), content[:-1], content[:20]):
        with pytest.raises(DataError, match=r"^Record 7 is damaged: copy the shard again"):
            decoded(damaged, len(content), "Record 7")
