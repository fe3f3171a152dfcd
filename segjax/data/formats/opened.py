"""Image files, known by what is in them and whole, or refused in one sentence."""

import io
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageFile, UnidentifiedImageError

from segjax.data.formats import tiff
from segjax.errors import DataError

MAX_PIXELS = 400_000_000
"""Larger images are refused by their header, before any memory is taken for their pixels."""

# A closed list: some of Pillow's other formats start programs (EPS) or hold no pixels of their own.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")

FilePath = str | os.PathLike[str]


def shown(path: FilePath) -> str:
    """Give a path as messages print it: bytes that are no text come out as escapes instead of stopping the terminal."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


def matching(folder: Path, *patterns: str) -> Iterator[Path]:
    """What is below a folder as `Path.glob` finds it, but what is hidden or in a hidden folder there.

    macOS lays `._a.jpg` beside `a.jpg` on disks of other systems and in archives, and editors keep copies of their own.
    """
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


@contextmanager
def image_stream(path: FilePath, data: bytes | None) -> Iterator[BinaryIO]:
    """The bytes of an image file; whatever decoders make of them in the context becomes one sentence.

    Raises:
        DataError: it is no image, is damaged, or has more pixels than Pillow reads.
    """
    name = shown(path)
    stream = _open_file(path) if data is None else io.BytesIO(data)
    start = stream.read(12)
    stream.seek(0)
    try:
        with stream:
            yield stream
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{name} is no image, or damaged (it starts with {start!r}): save it again as PNG.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more pixels than Pillow reads in its format: save it as PNG.") from None
    except Exception as error:  # Decoders raise nearly anything when a file is damaged.
        raise DataError(f"{name} is damaged or cut short ({error}): copy or save it again.") from error


def tiff_pages(stream: BinaryIO, name: str, most: int | None = MAX_PIXELS) -> list[tiff.Page]:
    """The pages of a TIFF file, its one image first; none where it is of another format.

    Of an OME-TIFF the pages of all channels come first. `most` is how many pixels there may be, None for any number.

    Raises:
        DataError: it holds several images, or channels of different sizes.
        UnidentifiedImageError: it is no TIFF after all.
    """
    start = stream.read(4)
    stream.seek(0)
    if start[:2] not in (b"II", b"MM"):
        return []
    try:
        pages = tiff.read_pages(stream)
    except (struct.error, ValueError):
        raise UnidentifiedImageError from None
    images = [page for page in pages if page.is_image]
    of_ome = tiff.channels_of_ome(images[0].description) if len(images) > 1 else 0
    if pages and len(images) != 1 and (not of_ome or len(images) * images[0].shape[2] != of_ome):
        raise DataError(f"{name} holds {len(images)} frames (animation or stack): save each as a file of its own.")
    if most is not None:
        for page in pages:
            refuse_large(page.pixels, name)
    if any(page.shape != images[0].shape for page in images):
        raise DataError(f"{name} has channels of different sizes: save each as a file of its own.")
    stream.seek(0)
    return [*images, *(page for page in pages if not page.is_image)]


@contextmanager
def open_image(stream: BinaryIO, name: str, pages: list[tiff.Page]) -> Iterator[ImageFile.ImageFile]:
    """An image that Pillow reads.

    Raises:
        DataError: it holds several, or is a TIFF without some of its parts.
    """
    if pages and pages[0].has_gaps:
        raise DataError(f"{name} is a TIFF that leaves out empty parts: save it whole, as `gdal_translate` does.")
    with read_header(stream, name) as image:
        # A phone's JPEG holds smaller or stereo versions of it; of TIFF the pages have been counted.
        frames = 1 if pages or image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames > 1:
            raise DataError(f"{name} holds {frames} frames (animation or stack): save each as a file of its own.")
        yield image


def read_header(stream: BinaryIO, name: str, formats: Sequence[str] = _FORMATS) -> ImageFile.ImageFile:
    """As `Image.open`, with the limit `MAX_PIXELS` for this file alone.

    Pillow's own is one for the whole process, and too small for a satellite scene.

    Raises:
        DataError: more pixels than the limit.
        UnidentifiedImageError: none of the formats, or damaged.
    """
    Image.init()
    prefix = stream.read(16)
    for factory, accept in (Image.OPEN[one] for one in formats):
        try:
            if accept is not None and accept(prefix) is not True:
                continue
            stream.seek(0)
            image = factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # how Pillow says that it is another format
            continue
        refuse_large(image.width * image.height, name)
        return image
    raise UnidentifiedImageError


def refuse_large(pixels: int, name: str) -> None:
    """Refuse an image of more than `MAX_PIXELS`.

    Raises:
        DataError: it has more.
    """
    if pixels > MAX_PIXELS:
        size, most = pixels // 10**6, MAX_PIXELS // 10**6
        raise DataError(f"{name} has {size} megapixels, over the limit of {most}: cut it up.")


def orientation(image: Image.Image) -> int:
    """EXIF's number of how an image is stored, 1 where it stands upright."""
    return image.getexif().get(tiff.ORIENTATION, 1)


def stored_orientation(path: FilePath) -> int:
    """That of a file; 1 where it cannot be read.

    Only the beginning of the file is read.
    """
    try:
        with image_stream(path, None) as stream:
            if pages := tiff_pages(stream, shown(path)):
                return pages[0].number(tiff.ORIENTATION)
            with read_header(stream, shown(path)) as image:
                return orientation(image)
    except DataError:
        return 1


def upright_pixels(pixels: Shaped[np.ndarray, "h w *c"], orientation: int) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """Turn stored pixels upright by EXIF's number of how they are stored, from 1 to 8."""
    turns = {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}.get(orientation, 0)
    pixels = np.rot90(pixels, turns)
    return np.ascontiguousarray(pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels)


def _open_file(path: FilePath) -> BinaryIO:
    name = shown(path)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait for ever.
            raise DataError(f"{name} is not a regular file: put an image in its place or take it away.")
        if status.st_size == 0:
            raise DataError(f"{name} is empty (0 bytes): copy or save it again.")
        return Path(path).open("rb")
    except FileNotFoundError:
        raise DataError(f"{name} is not there: copy it again, or mend the link that leads nowhere.") from None
    except PermissionError:
        raise DataError(f"{name} may not be read by this user: give permission with `chmod u+r`.") from None
    except OSError as error:
        raise DataError(f"{name} cannot be opened ({error.strerror}): mend or remove it.") from None
