"""Any image or mask file, read as the arrays that the rest of segjax counts on, or refused in one sentence."""

import io
import os
import stat
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from segjax.data.record import IGNORE
from segjax.errors import DataError

MAX_PIXELS = 400_000_000
"""Larger images are refused by their header, before any memory is taken for their pixels."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm")
"""Endings of files that are taken for images; what is inside decides how they are read."""
# A closed list: some of Pillow's other formats start programs (EPS) or hold no pixels of their own.
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")

Colours = Mapping[tuple[int, int, int], int]
"""What each colour (red, green, blue in 0..255) of a coloured mask stands for: a class, or 255 to ignore it."""
_FilePath = str | os.PathLike[str]


def read_image(path: _FilePath, *, data: bytes | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image file of any mode as 8-bit RGB, turned upright by its EXIF orientation.

    PNG, JPEG, WebP, TIFF, BMP, PPM and one-frame GIF are known by what is in the file, whatever its name ends with.
    Images of 16 bits are taken as 8, 12 or 16 bits deep, whichever is the least that holds their largest value, and
    shifted down to 8: a 12-bit camera's file comes out neither black nor stretched. Alpha is dropped, not blended;
    grey becomes three equal channels; CMYK and other colour spaces are converted.

    Args:
        path: the file, or what to call it in messages where `data` is given.
        data: the file's bytes, where they are already in memory.

    Raises:
        DataError: the file cannot be read, is damaged, has over 400 megapixels, several frames, or values whose range
            cannot be known (floating point, negative, above 65535).
    """
    with _opened(path, data) as (image, stream):
        if ";16" in str(image.tile) and not image.mode.startswith("I"):
            return _to_8_bits(_deep_colour(image, stream), path)
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I") or upright.mode == "F":
            grey = _to_8_bits(np.asarray(upright), path)
            return np.repeat(grey[..., None], 3, axis=2)
        if upright.has_transparency_data:
            upright = upright.convert("RGBA")
        return np.array(upright.convert("RGB"))


def read_mask(
    path: _FilePath,
    *,
    colours: Colours | None = None,
    levels: UInt8[np.ndarray, " 256"] | None = None,
    data: bytes | None = None,
) -> UInt8[np.ndarray, "h w"]:
    """Read a mask file as the class of every pixel, 255 where it is ignored.

    Grey masks of any depth and palette masks hold the classes themselves (of a palette, its indices and not its
    colours); a coloured mask is looked up in `colours`. Alpha is dropped.

    Args:
        path: the file, or what to call it in messages where `data` is given.
        colours: the class of every colour.
        levels: the class of every grey level or palette index, where it is not that number itself.
        data: the file's bytes, where they are already in memory.

    Raises:
        DataError: as `read_image`; and a value that is no class number, a coloured mask without `colours`, or a colour
            that is not among them.
    """
    return mask_classes(decode_mask(path, data=data), path, colours=colours, levels=levels)


def decode_mask(path: _FilePath, *, data: bytes | None = None) -> UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]:
    """Read a mask file as it was written: the numbers of a grey or palette mask, the colours of a coloured one."""
    with _opened(path, data) as (image, _):
        raw_mode = str(image.tile[0].args) if image.tile else ""
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ("1", "L", "P", "LA", "PA"):
            values = np.array(upright, np.uint8)
            # Pillow stretches levels of 2 and 4 bits over 0..255, which is right for an image and wrong for labels.
            stretch = 85 if "L;2" in raw_mode else 17 if "L;4" in raw_mode else 1
            return np.ascontiguousarray(values[..., 0] if values.ndim == 3 else values // stretch)
        if upright.mode.startswith("I") or upright.mode == "F":
            return _whole_labels(np.asarray(upright), path)
        return np.array(upright.convert("RGB"))


def mask_classes(
    mask: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"],
    path: _FilePath,
    *,
    colours: Colours | None = None,
    levels: UInt8[np.ndarray, " 256"] | None = None,
) -> UInt8[np.ndarray, "h w"]:
    """Turn what `decode_mask` read into classes; `read_mask` says how."""
    if mask.ndim == 3 and not colours and (mask == mask[..., :1]).all():
        mask = mask[..., 0]  # a grey mask that was saved in RGB
    if mask.ndim == 2:
        return mask if levels is None else levels[mask]
    red, green, blue = np.moveaxis(mask.astype(np.int32), 2, 0)
    codes = red << 16 | green << 8 | blue
    if not colours:
        seen = np.zeros(2**24, bool)
        seen[codes] = True
        found = np.flatnonzero(seen)
        some = ", ".join(f"#{code:06x}" for code in found[:8]) + (", ..." if len(found) > 8 else "")
        raise DataError(
            f"{shown(path)} is a coloured mask ({len(found)} colours: {some}) and nothing says what they mean: list "
            "the classes in classes.txt, one `name #rrggbb` a line."
        )
    table = sorted(((r << 16 | g << 8 | b), index) for (r, g, b), index in colours.items())
    keys, classes = np.array([key for key, _ in table]), np.array([index for _, index in table], np.uint8)
    position = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    strange = keys[position] != codes
    if strange.any():
        y, x = np.argwhere(strange)[0]
        raise DataError(
            f"{shown(path)} has {strange.sum()} pixels of colours that classes.txt does not list, the first "
            f"#{codes[y, x]:06x} at x={x}, y={y}: add the colour there (as `ignore #rrggbb` if it is no class)."
        )
    return classes[position]


def shown(path: _FilePath) -> str:
    """Give a path as messages print it: bytes that are no text come out as escapes instead of stopping the terminal."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


@contextmanager
def _opened(path: _FilePath, data: bytes | None) -> Iterator[tuple[ImageFile.ImageFile, BinaryIO]]:
    name = shown(path)
    stream = _open_file(path) if data is None else io.BytesIO(data)
    start = stream.read(12)
    stream.seek(0)
    try:
        with stream, read_header(stream, name) as image:
            frames = _frames(image)
            if frames > 1:
                raise DataError(f"{name} holds {frames} frames (animation or stack): save each as a file of its own.")
            yield image, stream
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{name} is no image, or damaged (it starts with {start!r}): save it again as PNG.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name} has more pixels than Pillow reads in its format: save it as PNG.") from None
    except Exception as error:  # Pillow's decoders raise nearly anything when a file is damaged.
        raise DataError(f"{name} is damaged or cut short ({error}): copy or save it again.") from error


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
        pixels = image.width * image.height
        if pixels > MAX_PIXELS:
            size, most = pixels // 10**6, MAX_PIXELS // 10**6
            raise DataError(f"{name} has {size} megapixels, over the limit of {most}: cut it up.")
        return image
    raise UnidentifiedImageError


def _open_file(path: _FilePath) -> BinaryIO:
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


def _frames(image: ImageFile.ImageFile) -> int:
    if image.format == "MPO":
        return 1  # a phone's JPEG: the image, then smaller or stereo versions of it
    frames = getattr(image, "n_frames", 1)
    if frames == 1 or image.format != "TIFF":
        return frames
    full = 0
    for frame in range(frames):
        image.seek(frame)
        new_subfile_type = image.getexif().get(254, 0)
        full += not new_subfile_type & 0b101  # overviews (1) and transparency masks (4) are no images of their own
    image.seek(0)
    return full


def _deep_colour(image: Image.Image, stream: BinaryIO) -> Shaped[np.ndarray, "h w 3"]:
    """Colour of 16 bits a channel, which Pillow cuts to its high byte: nothing is left of a 12-bit file."""
    image.load()  # OpenCV gives what it can of a file that is cut short; Pillow refuses it
    orientation = image.getexif().get(274, 1)
    stream.seek(0)
    pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise OSError("OpenCV cannot decode it")
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = pixels[..., 2::-1]
    if image.format == "TIFF":
        return pixels  # OpenCV has turned it upright
    turns = {3: 2, 4: 2, 5: -1, 6: -1, 7: 1, 8: 1}.get(orientation, 0)
    pixels = np.rot90(pixels, turns)
    return pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels


def _to_8_bits(pixels: Shaped[np.ndarray, "h w *c"], path: _FilePath) -> UInt8[np.ndarray, "h w *c"]:
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f" or low < 0 or high > 65535:
        raise DataError(
            f"{shown(path)} holds values {low:g} to {high:g} ({pixels.dtype}), whose full range cannot be known: "
            "scale it and save it with 8 or 16 bits."
        )
    shift = 0 if high < 2**8 else 4 if high < 2**12 else 8
    return np.ascontiguousarray(pixels >> shift).astype(np.uint8)


def _whole_labels(values: Shaped[np.ndarray, "h w"], path: _FilePath) -> UInt8[np.ndarray, "h w"]:
    values = np.where(values == 65535, IGNORE, values)  # all bits of 16, as 255 is all bits of 8
    wrong = (values < 0) | (values > 255) | (values != np.floor(values))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise DataError(
            f"{shown(path)} has {wrong.sum()} pixels whose value is no class number, the first {values[y, x]:g} at "
            f"x={x}, y={y}: a mask holds classes 0 to 254, and 255 to ignore."
        )
    return values.astype(np.uint8)
