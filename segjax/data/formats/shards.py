"""Packed records: ZIP files of which nothing is compressed, so that a record is one range of bytes.

Any archiver opens them, and `unzip -t` reads their checksums. `00000012/image.png` is the image of record 12 of its
split, `mask.png` its mask, and what else it has is in NumPy's files; nothing is lost. A JPEG stays the file it was.
"""

import binascii
import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import cv2
import numpy as np

from segjax.data.formats.images import JPEG, read_image
from segjax.data.record import Record
from segjax.errors import DataError

_HEADER = struct.Struct("<4s5H3L2H")
"""What stands before every file in a ZIP archive (APPNOTE 4.3.7)."""
_SIGNATURE = b"PK\x03\x04"

_ENDINGS = {"image": (".jpg", ".png", ".npy"), "mask": (".png", ".bands.png")}
_NAMES = {f"{part}{ending}".encode() for part in get_type_hints(Record) for ending in _ENDINGS.get(part, (".npy",))}
"""What files of a record are called, of which there is no checksum."""


class Shard(NamedTuple):
    """A file of records that follow each other."""

    file: str
    size: int
    """In bytes."""
    sha256: str
    offsets: tuple[int, ...]
    """Where each record begins, and where the last one ends."""
    names: tuple[str, ...] = ()
    """What records are called, where their source names them."""

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.offsets) - 1


class ShardWriter:
    """Writes records into a new file, one after another."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._archive = zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED)
        self._starts: list[int] = []

    @property
    def size(self) -> int:
        """How many bytes have been written."""
        return self._file.tell()

    def add(self, number: int, members: Mapping[str, bytes]) -> None:
        """Write what `encoded` gave of the record of that number."""
        self._starts.append(self.size)
        for name, content in members.items():
            self._archive.writestr(zipfile.ZipInfo(f"{number:08d}/{name}"), content)  # of no date: the same bytes again

    def close(self) -> tuple[int, ...]:
        """End the file; returns the offsets of its records, as `Shard` has them."""
        offsets = (*self._starts, self.size)
        self._archive.close()
        self._file.close()
        return offsets


def encoded(record: Record, stored: bytes | None = None) -> dict[str, bytes]:
    """The files of a record, from which `decoded` makes the same one bit for bit.

    `stored` is the file that its image was read of, which is kept where it is a JPEG that gives this very image.
    """
    rest: dict[str, Any] = dict(record)
    image = rest.pop("image")
    if stored is not None and stored.startswith(JPEG) and _same(read_image("image.jpg", data=stored), image):
        members = {"image.jpg": stored}
    elif image.dtype != np.float32 and image.shape[2] in (1, 3):
        members = {"image.png": _png(image)}
    else:
        members = {"image.npy": _npy(image)}
    if "mask" in rest:
        mask = rest.pop("mask")
        # Bands of labels stand beside each other.
        members["mask.png" if mask.ndim == 2 else "mask.bands.png"] = _png(mask.reshape(len(mask), -1, 1))
    return members | {f"{name}.npy": _npy(value) for name, value in rest.items()}


def decoded(content: bytes, size: int, what: str) -> Record:
    """The record of a range of so many bytes, of which a file that is cut short has less.

    Raises:
        DataError: a checksum or a length is another than when it was written; `what` is what sentences call it.
    """
    record: dict[str, Any] = {}
    for name, data in _members(content, size, what).items():
        part, _, ending = name.partition(".")
        if ending == "jpg":
            record[part] = read_image(what, data=data)
        elif ending.endswith("png"):
            pixels = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels
            record[part] = pixels.reshape(*record["image"].shape[:2], -1) if ending == "bands.png" else pixels
        else:
            record[part] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    record["image"] = np.atleast_3d(record["image"])
    return record  # type: ignore[return-value]  (its names are those that were written)


def _members(content: bytes, size_written: int, what: str) -> dict[str, bytes]:
    found, place = {}, 0
    damaged = DataError(f"{what} is damaged: copy the shard again from where it is whole, or pack the set again.")
    if len(content) != size_written:  # the end may be that of a file, and a record would be without its mask
        raise damaged
    while place < len(content):
        if len(content) < place + _HEADER.size:
            raise damaged
        signature, *_, checksum, _, size, of_name, of_extra = _HEADER.unpack_from(content, place)
        name_at = place + _HEADER.size
        data_at = name_at + of_name + of_extra
        name = content[name_at : name_at + of_name].partition(b"/")[2]
        data = content[data_at : data_at + size]
        if signature != _SIGNATURE or name not in _NAMES or len(data) < size or binascii.crc32(data) != checksum:
            raise damaged
        found[name.decode()] = data
        place = data_at + size
    return found


def _png(pixels: np.ndarray) -> bytes:
    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.shape[2] == 3 else pixels)
    assert done
    return data.tobytes()


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    return file.getvalue()


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and np.array_equal(one, other)
