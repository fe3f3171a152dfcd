"""Any image file, read as the arrays that the rest of segjax counts on, or refused in one sentence."""

import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from jaxtyping import Num, Shaped
from PIL import Image, ImageOps

from segjax.data.formats import arrays, tiff
from segjax.data.formats.arrays import is_array_file, read_array, stored_shape
from segjax.data.formats.opened import (
    FilePath,
    image_stream,
    open_image,
    orientation,
    read_header,
    refuse_large,
    shown,
    tiff_pages,
    upright_pixels,
)
from segjax.data.formats.rasters import Raster, raster
from segjax.data.formats.scenes import ZARR, ZarrScene, whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", *arrays.SUFFIXES, ZARR)
"""Endings of files that are taken for images; what is inside decides how they are read."""

JPEG = b"\xff\xd8\xff"
"""What a JPEG file begins with."""


def read_image(
    path: FilePath, *, bands: tuple[int, ...] | None = None, data: bytes | None = None
) -> Num[np.ndarray, "h w c"]:
    """Read an image file of any kind at its own depth, turned upright by its EXIF orientation.

    What `read_raster` gives, without where there is no data.
    """
    return read_raster(path, bands=bands, data=data).pixels


def read_raster(path: FilePath, *, bands: tuple[int, ...] | None = None, data: bytes | None = None) -> Raster:
    """Read an image file of any kind at its own depth, turned upright, and where it has no data.

    PNG, JPEG, WebP, TIFF, BMP, PPM, one-frame GIF, .npy and .npz are known by what is in the file, whatever its name
    ends with. Up to 8 bits are uint8; up to 16, unsigned, are uint16; all else is float32. Nothing is scaled. Without
    `bands`, opacity is dropped, not blended, and grey becomes three equal channels; CMYK and other colour spaces are
    converted. Of TIFF every layout, depth and byte order is read by its tags, with bands beyond three.

    Args:
        path: the file, or what to call it in messages where `data` is given.
        bands: the numbers, from 1, of the samples to take, opacity among them.
        data: the file's bytes, where they are already in memory.

    Raises:
        DataError: the file cannot be read, is damaged, has over 400 megapixels, several frames, or fewer bands.
    """
    name = shown(path)
    if data is None and Path(path).suffix.lower() == ZARR:
        return _whole(ZarrScene(Path(path))).bands(bands, name)
    with image_stream(path, data) as stream:
        start = stream.read(12)
        stream.seek(0)
        if is_array_file(start):
            return raster(read_array(stream, name), name).bands(bands, name)
        pages = tiff_pages(stream, name)
        if pages and (not pages[0].for_pillow or sum(page.is_image for page in pages) > 1):
            return _tiff(stream, pages, name).bands(bands, name)
        with open_image(stream, name, pages) as image:
            if ";16" in str(image.tile):
                deep, turned = upright_pixels(deep_png(image, stream), orientation(image)), orientation(image)
                alpha = deep.shape[2] in (2, 4)  # a band of its own, or made of the one colour that is transparent
                found = raster(deep, name, has_alpha=alpha)
                return found._replace(pixels=deep, missing=None, orientation=turned).bands(bands, name)
            upright, turned = ImageOps.exif_transpose(image), orientation(image)
            if upright.mode.startswith("I") or upright.mode == "F":  # PPM, whose greatest value Pillow takes for white
                values = np.asarray(upright)
                values = values if upright.mode == "F" else values.astype(np.uint16)
                return raster(values[..., None], name).bands(bands, name)
            alpha = upright.has_transparency_data
            if alpha:
                upright = upright.convert("RGBA")
            if bands is None or upright.mode not in ("L", "RGBA"):
                upright, alpha = upright.convert("RGB"), False  # at once, which is faster than by NumPy
            pixels = np.array(upright)
            pixels = pixels if pixels.ndim == 3 else pixels[..., None]
            if pages and not alpha:
                nodata, opaque = pages[0].nodata_brightness, tiff.opaque(stream, pages, pages[0], name)
                if nodata is not None or opaque is not None:
                    opaque = None if opaque is None else upright_pixels(opaque, turned)
                    found = raster(pixels, name, nodata=nodata, opaque=opaque)
                    return found._replace(orientation=turned).bands(bands, name)
            return Raster(pixels, alpha, orientation=turned).bands(bands, name)


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The image files of a folder by their names without the ending, of which cameras write many in capitals.

    Of several of one name it is the one whose ending comes first in `SUFFIXES`.
    """
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
    files.sort(key=lambda path: SUFFIXES.index(path.suffix.lower()), reverse=True)
    return {path.stem: path for path in files if path.is_file()}


def read_jpeg(path: FilePath) -> bytes | None:
    """The bytes of a JPEG file; None of any other."""
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        start = file.read(len(JPEG))
        return start + file.read() if start == JPEG else None


class Extent(NamedTuple):
    """How much there is to read, by the header of a file."""

    pixels: int
    samples: int
    """Numbers of all of them."""


def extent(path: FilePath, *, data: bytes | None = None) -> Extent:
    """How much `read_raster` would take memory for; for whoever reads what strangers send.

    Raises:
        DataError: the header cannot be read, or says over 400 megapixels.
    """
    name = shown(path)
    with image_stream(path, data) as stream:
        start = stream.read(12)
        stream.seek(0)
        if is_array_file(start):
            shape = stored_shape(stream, name)
            return Extent(math.prod(shape[:2]), math.prod(shape))
        if pages := tiff_pages(stream, name):
            return Extent(max(page.pixels for page in pages), max(page.pixels * page.shape[2] for page in pages))
        with read_header(stream, name) as image:
            return Extent(image.width * image.height, image.width * image.height * len(image.getbands()))


def _whole(scene: ZarrScene) -> Raster:
    refuse_large(scene.shape[0] * scene.shape[1], shown(scene.path))
    return scene.read(whole(scene.shape))


def _tiff(stream: BinaryIO, pages: list[tiff.Page], name: str) -> Raster:
    page = pages[0]
    images = [tiff.read_pixels(stream, one, name) for one in pages if one.is_image]
    pixels = images[0] if len(images) == 1 else np.concatenate(images, axis=2)  # channels of an OME-TIFF
    opaque = tiff.opaque(stream, pages, page, name)
    turned = page.number(tiff.ORIENTATION)
    found = raster(
        upright_pixels(page.brightness(pixels), turned),
        name,
        has_alpha=page.has_alpha,
        nodata=page.nodata_brightness,
        opaque=None if opaque is None else upright_pixels(opaque, turned),
    )
    return found._replace(orientation=turned)


def deep_png(image: Image.Image, stream: BinaryIO) -> Shaped[np.ndarray, "h w c"]:
    """A PNG of 16 bits a channel, of which Pillow gives the high byte alone where it has colours or opacity.

    Raises:
        OSError: it cannot be decoded.
    """
    image.load()  # OpenCV gives what it can of a file that is cut short; Pillow refuses it
    if image.mode.startswith("I"):
        return np.asarray(image, np.uint16)[..., None]
    stream.seek(0)
    pixels = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise OSError("OpenCV cannot decode it")
    pixels = pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]
    return pixels[..., 2:] if image.mode == "LA" else pixels
