"""A TIFF of many bands, written a strip of rows at a time: probabilities that a map shows at their place."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Num

from segjax.data.formats import tiff
from segjax.inference.outputs import Add, replacing

_SHORT, _LONG, _DOUBLE, _TEXT, _LONG_8 = 3, 4, 12, 2, 16
_CODES = {_SHORT: "H", _LONG: "I", _DOUBLE: "d", _LONG_8: "Q"}
_METADATA = 42112
_STRIP_BYTES = 2**20
_CLASSIC = 4 * 10**9
"""Bytes from which offsets do not fit into 32 bits."""


@contextmanager
def tiff_writer(
    path: Path, shape: tuple[int, int, int], band_names: Sequence[str], place: dict[int, Any], depth: Any = np.float32
) -> Iterator[Add]:
    """Numbers (h w k) in one GeoTIFF of k named bands, deflated.

    Floating point is NaN where there is no data, as in probabilities; whole numbers, as in masks, are the greatest of
    their type.
    """
    height, width, bands = shape
    dtype = np.dtype(depth).newbyteorder("<")
    of_floats = dtype.kind == "f"
    big = dtype.itemsize * height * width * bands > _CLASSIC
    rows = max(1, min(height, _STRIP_BYTES // (dtype.itemsize * width * bands)))
    offsets: list[int] = []
    sizes: list[int] = []
    waiting: list[np.ndarray] = []
    with replacing(path) as file:
        file.write(b"\0" * 16)

        def flush() -> None:
            packed = zlib.compress(np.ascontiguousarray(np.stack(waiting), dtype).tobytes(), 1)
            offsets.append(file.tell())
            sizes.append(len(packed))
            file.write(packed)
            waiting.clear()

        def add(row: int, strip: Num[np.ndarray, "rows w k"]) -> None:
            for line in strip:
                waiting.append(line.copy())  # a strip is only valid until the next
                if len(waiting) == rows:
                    flush()

        yield add
        if waiting:
            flush()
        items = "".join(
            f'<Item name="DESCRIPTION" sample="{number}" role="description">{escape(name)}</Item>'
            for number, name in enumerate(band_names)
        )
        tags: dict[int, tuple[int, Any]] = {
            tiff.WIDTH: (_LONG, [width]),
            tiff.HEIGHT: (_LONG, [height]),
            tiff.BITS: (_SHORT, [8 * dtype.itemsize] * bands),
            tiff.COMPRESSION: (_SHORT, [8]),
            tiff.PHOTOMETRIC: (_SHORT, [1]),
            273: (_LONG_8 if big else _LONG, offsets),
            tiff.SAMPLES: (_SHORT, [bands]),
            tiff.ROWS: (_LONG, [rows]),
            279: (_LONG_8 if big else _LONG, sizes),
            tiff.PLANAR: (_SHORT, [1]),
            tiff.FORMAT: (_SHORT, [3 if of_floats else 1] * bands),
            _METADATA: (_TEXT, f"<GDALMetadata>{items}</GDALMetadata>"),
            tiff.NODATA: (_TEXT, "nan" if of_floats else str(np.iinfo(dtype).max)),
        }
        if bands > 1:
            tags[tiff.EXTRA] = (_SHORT, [0] * (bands - 1))
        for tag, value in place.items():
            kind = _TEXT if isinstance(value, (str, bytes)) else _SHORT if isinstance(value[0], int) else _DOUBLE
            tags[tag] = (kind, value)
        at = file.tell() + file.tell() % 2
        file.seek(at)
        file.write(_directory(tags, at, big))
        file.seek(0)
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, at) if big else struct.pack("<2sHI", b"II", 42, at))


def _directory(tags: dict[int, tuple[int, Any]], at: int, big: bool) -> bytes:
    count, entry, room = ("<Q", "<HHQ", 8) if big else ("<H", "<HHI", 4)
    size = struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + room) + room
    table, tail = struct.pack(count, len(tags)), b""
    for tag, (kind, values) in sorted(tags.items()):
        values = values.encode("utf-8") if isinstance(values, str) else values
        packed = values + b"\0" if kind == _TEXT else struct.pack(f"<{len(values)}{_CODES[kind]}", *values)
        length = len(packed) if kind == _TEXT else len(values)
        table += struct.pack(entry, tag, kind, length)
        if len(packed) <= room:
            table += packed.ljust(room, b"\0")
        else:
            table += struct.pack("<Q" if big else "<I", at + size + len(tail))
            tail += packed + b"\0" * (len(packed) % 2)
    return table + b"\0" * room + tail
