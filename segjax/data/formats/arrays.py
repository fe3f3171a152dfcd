"""Images and masks in NumPy's files: .npy, and .npz of one array."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped

from segjax.errors import DataError

SUFFIXES = (".npy", ".npz")
_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_LONGEST = 10_000
"""Bytes of a header: as many as NumPy reads, but only after it has all of them in memory."""
_FEW = 16
"""Bands before a height and a width: what other libraries take."""


def is_array_file(start: bytes) -> bool:
    """Whether a file that begins like this is one of NumPy's."""
    return start.startswith((_MAGIC, _ZIP))


def read_array(stream: BinaryIO, name: str) -> Shaped[np.ndarray, "h w c"]:
    """The array of a file, with its bands last. Nothing in the file is run.

    Raises:
        DataError: it is no image, or of Python's objects, or there are several.
        ValueError, EOFError, zipfile.BadZipFile: the file is cut short or damaged.
    """
    with _array(stream, name) as file:
        _, dtype = _header(file)
        if dtype.hasobject:
            raise DataError(f"{name} holds Python's objects, which reading could run: save an array of numbers.")
        if dtype.kind not in "buif":
            raise DataError(f"{name} holds an array of {dtype}: save numbers.")
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"{name} holds an array of shape {array.shape}: give height, width and bands, with pixels.")
    if array.ndim == 3 and array.shape[0] <= _FEW < min(array.shape[1:]):
        raise DataError(
            f"{name} holds an array of shape {array.shape}, whose bands seem to come first: save it with them last, as "
            "np.moveaxis(array, 0, -1)."
        )
    return np.ascontiguousarray(array if array.ndim == 3 else array[..., None])


def stored_shape(stream: BinaryIO, name: str) -> tuple[int, ...]:
    """The shape of the array of a file, by its header; raises as `read_array`."""
    with _array(stream, name) as file:
        return _header(file)[0]


@contextmanager
def _array(stream: BinaryIO, name: str) -> Iterator[Any]:
    """The .npy file itself, or the one in the archive, which is unpacked only as far as it is read."""
    stream.seek(0)
    is_zip = stream.read(4) == _ZIP
    stream.seek(0)
    if not is_zip:
        yield stream
        return
    with zipfile.ZipFile(stream) as archive:
        arrays = [entry for entry in archive.namelist() if entry.endswith(".npy")]
        chosen = "image.npy" if "image.npy" in arrays else arrays[0] if len(arrays) == 1 else None
        if chosen is None:
            what = ", ".join(entry.removesuffix(".npy") for entry in arrays[:8]) or "none"
            raise DataError(f"{name} holds {len(arrays)} arrays ({what}): save one, or call one of them image.")
        with archive.open(chosen) as entry:
            yield entry


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    begin = file.tell()
    length = int.from_bytes(file.read(2 if version[0] == 1 else 4), "little")
    if length > _LONGEST:  # in an archive a few bytes may be a header of gigabytes
        raise ValueError(f"its header has {length} bytes")
    file.seek(begin)
    read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    return shape, dtype
