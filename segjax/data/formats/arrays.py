"""Images and masks in NumPy's files: .npy, and .npz of one array."""

import io
import zipfile
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped

from segjax.errors import DataError

SUFFIXES = (".npy", ".npz")
_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
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
    array = _load(stream, name)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"{name} holds an array of shape {array.shape}: give height, width and bands, with pixels.")
    if array.dtype.kind not in "buif":
        raise DataError(f"{name} holds an array of {array.dtype}: save numbers.")
    if array.ndim == 3 and array.shape[0] <= _FEW < min(array.shape[1:]):
        raise DataError(
            f"{name} holds an array of shape {array.shape}, whose bands seem to come first: save it with them last, as "
            "np.moveaxis(array, 0, -1)."
        )
    return np.ascontiguousarray(array if array.ndim == 3 else array[..., None])


def _load(stream: BinaryIO, name: str) -> np.ndarray:
    stream.seek(0)
    if stream.read(4) != _ZIP:
        stream.seek(0)
        return _read(stream, name)
    stream.seek(0)
    with zipfile.ZipFile(stream) as archive:
        arrays = [entry for entry in archive.namelist() if entry.endswith(".npy")]
        chosen = "image.npy" if "image.npy" in arrays else arrays[0] if len(arrays) == 1 else None
        if chosen is None:
            what = ", ".join(entry.removesuffix(".npy") for entry in arrays[:8]) or "none"
            raise DataError(f"{name} holds {len(arrays)} arrays ({what}): save one, or call one of them image.")
        return _read(io.BytesIO(archive.read(chosen)), name)


def _read(stream: BinaryIO, name: str) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    _, _, dtype = read_header(stream)
    if dtype.hasobject:
        raise DataError(f"{name} holds Python's objects, which reading could run: save an array of numbers.")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)
