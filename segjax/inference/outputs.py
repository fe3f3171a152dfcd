"""Results on disk: whole or not there at all."""

import io
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32, Num, UInt
from PIL import Image

from segjax.drawing import Palette, paint

Add = Callable[[int, Num[np.ndarray, "rows w k"]], Any]
"""Takes the probabilities, or the classes, of some rows, and the number of the first of them."""


_numbers = itertools.count()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` when all of it is written; where that fails, no trace of it is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of one image several results may be open.
    partial = path.with_name(f".segjax-{os.getpid()}-{next(_numbers)}{path.suffix}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_image(path: Path, image: Image.Image, **settings: Any) -> None:
    """Write an image in the format of the path's suffix; `settings` are those of Pillow's `save`."""
    # Pillow's encoders, writing to a file of the system's, hide why it failed.
    encoded = _encoded(image, {".png": "PNG", ".tif": "TIFF"}[path.suffix], **settings)
    with replacing(path) as file:
        file.write(encoded)


def png(image: Image.Image) -> bytes:
    """The bytes of the PNG file that `write_image` writes."""
    return _encoded(image, "PNG")


def _encoded(image: Image.Image, format: str, **settings: Any) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, format, **settings)
    return encoded.getvalue()


def indexed(mask: UInt[np.ndarray, "h w"], palette: Palette) -> Image.Image:
    """A palette image: its pixels hold the classes, its palette their colours.

    What is no class is grey, and not black as a class may be. Of 16 bits there is no palette.
    """
    image = Image.fromarray(mask)
    if mask.dtype != np.uint8:
        return image
    image.putpalette(paint(np.arange(256, dtype=np.uint8)[None], palette).tobytes())
    return image


@contextmanager
def npy_writer(path: Path, shape: tuple[int, int, int]) -> Iterator[Add]:
    """Probabilities (h w k) as float32 in one .npy file, added as strips of rows from the top."""
    with replacing(path) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield lambda row, strip: file.write(np.ascontiguousarray(strip, "<f4").data)


@contextmanager
def png_writer(paths: Sequence[Path], shape: tuple[int, int, int]) -> Iterator[Add]:
    """Probabilities as one grey PNG of 16 bits per class, in which 65535 is one and NaN 0; added as strips of rows."""
    height, width, _ = shape
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=paths[0].parent) as planes:  # as many planes as classes may not fit in memory

        def add(row: int, strip: Float32[np.ndarray, "rows w k"]) -> None:
            for k in range(len(paths)):
                planes.seek(2 * width * (k * height + row))
                planes.write(np.rint(np.nan_to_num(strip[..., k]) * 65535).astype(np.uint16).data)

        yield add
        planes.seek(0)
        for path in paths:
            plane = np.frombuffer(planes.read(2 * width * height), np.uint16).reshape(height, width)
            write_image(path, Image.fromarray(plane))
