"""safetensors files, read where they lie and written whole: https://huggingface.co/docs/safetensors.

Eight bytes of length, a JSON header, the numbers. The library's numpy reader knows neither bfloat16 nor float8.
"""

import json
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

from segjax.errors import DataError
from segjax.weights.mapped import Mapped, Refused, opened, printable

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    **{f"U{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
    "C64": np.dtype("<c8"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "F8_E4M3FNUZ": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "F8_E5M2FNUZ": np.dtype(ml_dtypes.float8_e5m2fnuz),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_LONGEST_HEADER = 1 << 24
_METADATA = "__metadata__"


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a safetensors file, by name, and its metadata.

    The arrays are read-only views into the file, loaded by the page when they are looked at, so it must not be written
    into while they are in use.

    Raises:
        DataError: It is no such file, is damaged, or its header says what is not so; the sentence says what to do.
    """
    with opened(Path(path)) as file:
        return read_opened(file)


def read_opened(file: Mapped) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """As `read`, of a file's bytes.

    Raises:
        Refused: As `read`.
    """
    start = 8 + int.from_bytes(file[:8], "little")
    if start > len(file) or file[8:9] != b"{":
        raise Refused("is no safetensors file, or ends early")
    if start > 8 + _LONGEST_HEADER:
        raise Refused(f"has a header of {start - 8} bytes, where {_LONGEST_HEADER} are the most")
    header = _header(file[8:start])
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise Refused("has metadata that is not made of texts")
    parts = sorted((_part(name, entry) for name, entry in header.items()), key=lambda part: part[3:])
    at, numbers, arrays = 0, file.array()[start:], {}
    for name, dtype, shape, begin, end in parts:
        if begin != at:
            raise Refused(f"has numbers that overlap or leave a gap at {printable(name)}")
        if end > len(numbers):
            raise Refused(f"ends at byte {len(file)}, where {start + end} are due for {printable(name)}")
        at = end
        if dtype.kind == "b":  # any other byte than 0 and 1 would be no bool of numpy's
            arrays[name] = numbers[begin:end].reshape(shape) != 0
            arrays[name].flags.writeable = False
        else:
            arrays[name] = numbers[begin:end].view(dtype).reshape(shape)
    if at != len(numbers):
        raise Refused(f"has {len(numbers) - at} bytes that belong to no array")
    return {name: arrays[name] for name in header}, metadata


def write(
    path: str | Path, arrays: Mapping[str, Shaped[np.ndarray, "..."]], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes arrays to a safetensors file, which appears when it is whole.

    Raises:
        DataError: An array's dtype is none of the format's, a name or metadata is no text, or the folder cannot be
            written.
    """
    path = Path(path)
    entries: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    texts = [*arrays, *(metadata or {}), *(metadata or {}).values()]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{path} can hold names and metadata of text alone: convert them first.")
    at = 0
    # The widest first, as the library does, so that each lies at a multiple of its width.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    for name in order:
        dtype = _little(arrays[name].dtype)
        if name == _METADATA or dtype not in _NAMES:
            raise DataError(f"{path} cannot hold {name} of {arrays[name].dtype}: rename it or convert it first.")
        end = at + arrays[name].nbytes
        entries[name] = {"dtype": _NAMES[dtype], "shape": list(arrays[name].shape), "data_offsets": [at, end]}
        at = end
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    try:
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            aside = Path(folder) / path.name
            with aside.open("wb") as file:
                file.write(len(header).to_bytes(8, "little") + header)
                for name in order:
                    array = np.ascontiguousarray(arrays[name], _little(arrays[name].dtype))
                    file.write(array.reshape(-1).view(np.uint8).data)
            aside.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): choose another folder or free some space."
        ) from error


def _header(text: bytes) -> dict[str, Any]:
    try:
        return json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refused("has a header that is no JSON") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refused("has a header that says one thing twice")
    return found


def _part(name: str, entry: Any) -> tuple[str, np.dtype, tuple[int, ...], int, int]:
    match entry:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [begin, end], **rest} if not rest:
            if kind not in _DTYPES:
                raise Refused(f"has {printable(name)} of dtype {printable(kind)}, which segjax does not read")
            if all(type(n) is int and 0 <= n < 1 << 62 for n in (*shape, begin, end)) and len(shape) <= 64:
                dtype = _DTYPES[kind]
                if math.prod(max(n, 1) for n in shape) < 1 << 59 and math.prod(shape) * dtype.itemsize == end - begin:
                    return name, dtype, tuple(shape), begin, end
    raise Refused(f"has a header whose words on {printable(name)} contradict each other")


def _little(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("<") if sys.byteorder == "big" or dtype.byteorder == ">" else dtype
