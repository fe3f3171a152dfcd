"""Any mask file, read as the class of every pixel, or refused in one sentence."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt, UInt8
from PIL import ImageFile, ImageOps

from segjax.data.formats import tiff
from segjax.data.formats.arrays import is_array_file, read_array
from segjax.data.formats.images import deep_png
from segjax.data.formats.opened import (
    FilePath,
    image_stream,
    open_image,
    orientation,
    read_header,
    shown,
    tiff_pages,
    upright_pixels,
)
from segjax.data.formats.scenes import ZARR, Window, ZarrScene, open_scene, whole
from segjax.errors import DataError, counted
from segjax.mask_numbers import MOST_CLASSES, mask_type

Colours = Mapping[tuple[int, int, int], int]
"""What each colour (red, green, blue in 0..255) of a coloured mask stands for: a class, or what is ignored."""


def read_mask(
    path: FilePath,
    *,
    num_classes: int = 255,
    colours: Colours | None = None,
    levels: UInt[np.ndarray, " n"] | None = None,
    data: bytes | None = None,
    window: Window | None = None,
) -> UInt[np.ndarray, "h w"]:
    """Read a mask file as the class of every pixel, in the type of masks of so many classes.

    Grey masks of any depth and palette masks hold the classes themselves (of a palette, its indices and not its
    colours); a coloured mask is looked up in `colours`. Alpha is dropped.

    Args:
        path: the file, or what to call it in messages where `data` is given.
        num_classes: how many classes there are: up to 255, 255 and in files of 16 bits 65535 are ignored, and beyond
            65535 alone.
        colours: the class of every colour.
        levels: the class of each of 256, or of 65536, grey levels or palette indices, where it is not that number; what
            `colours` gives is classes already.
        data: the file's bytes, where they are already in memory.
        window: the rows and columns to read; all by default.

    Raises:
        DataError: as `read_image`; and a value that is no class number, a coloured mask without `colours`, or a colour
            that is not among them.
    """
    decoded = decode_mask(path, data=data, window=window)
    stored = uncoloured(decoded, path, colours or {})
    if levels is not None and not (colours and decoded.ndim == 3):
        return levels[fitted(stored, path, len(levels) - 1)]
    return fitted(stored, path, num_classes)


def decode_mask(
    path: FilePath, *, data: bytes | None = None, window: Window | None = None
) -> UInt[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]:
    """Read a mask file as it was written: the numbers of a grey or palette mask, the colours of a coloured one.

    Numbers are uint8 or, where one is above 255, uint16, in which 65535 is what is ignored and what has no data.
    """
    name = shown(path)
    if window is not None:
        scene = open_scene(path)
        if scene is None:
            return decode_mask(path)[window]
        return _label_array(scene.labels(window), path, scene.nodata)
    if data is None and Path(path).suffix.lower() == ZARR:
        array = ZarrScene(Path(path))
        return _label_array(array.stored(whole(array.shape)), path)
    with image_stream(path, data) as stream:
        start = stream.read(12)
        stream.seek(0)
        pages = tiff_pages(stream, name)
        if is_array_file(start):
            return _label_array(read_array(stream, name), path)
        if pages and (not pages[0].for_pillow or pages[0].counts_from_white):
            page = pages[0]
            stored = upright_pixels(page.labels(tiff.read_pixels(stream, page, name)), page.number(tiff.ORIENTATION))
            return _label_array(stored, path, page.nodata)
        with open_image(stream, name, pages) as image:
            if ";16" in str(image.tile) and not image.mode.startswith("I"):
                return _of_deep_colours(upright_pixels(deep_png(image, stream), orientation(image)), path)
            numbers = _decode_mask(image, path)
            return (
                whole_labels(with_ignored(numbers, pages[0].nodata), path) if pages and numbers.ndim == 2 else numbers
            )


def other_colour(path: FilePath, numbers: UInt[np.ndarray, " n"], colours: Colours) -> str | None:
    """Which of the numbers of a palette mask is drawn in the colour of another class, in words; None where none is."""
    if not colours or not Path(path).is_file():
        return None
    with image_stream(path, None) as stream:
        if is_array_file(stream.read(12)):
            return None
        stream.seek(0)
        if (pages := tiff_pages(stream, shown(path))) and not pages[0].for_pillow:
            return None  # it is of numbers, which Pillow may not know
        with read_header(stream, shown(path)) as image:
            palette = image.getpalette("RGB") if image.mode == "P" else None
    for number in numbers.tolist() if palette else ():
        red, green, blue = (*(palette or ())[3 * number : 3 * number + 3], *(-1,) * 3)[:3]
        if (said := colours.get((red, green, blue), number)) != number:
            return f"number {number} in #{red:02x}{green:02x}{blue:02x}, which classes.txt gives to number {said}"
    return None


def _of_deep_colours(stored: Shaped[np.ndarray, "h w c"], path: FilePath) -> UInt[np.ndarray, "h w"]:
    """The numbers of a grey mask that was saved in colours, or beside opacity, of 16 bits."""
    colours = stored[..., :-1] if stored.shape[2] in (2, 4) else stored
    if (colours != colours[..., :1]).any():
        raise DataError(f"{shown(path)} is a coloured mask of 16 bits: save it in colours of 8 bits, or the classes.")
    return whole_labels(colours[..., 0], path)


def _decode_mask(image: ImageFile.ImageFile, path: FilePath) -> UInt[np.ndarray, "h w *c"]:
    arguments = image.tile[0].args if image.tile else ""
    raw_mode, greatest = str(arguments), None
    if image.format == "PPM" and isinstance(arguments, tuple) and image.mode in ("L", "I"):
        greatest = int(arguments[-1])
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("1", "L", "P", "LA", "PA"):
        values = np.array(upright, np.uint8)
        # Pillow stretches levels of 2 and 4 bits over 0..255, which is right for an image and wrong for labels.
        stretch = 85 if "L;2" in raw_mode else 17 if "L;4" in raw_mode else 1
        values = values[..., 0] if values.ndim == 3 else _unscaled(values // stretch, 255, greatest)
        return np.ascontiguousarray(values)
    if upright.mode.startswith("I") or upright.mode == "F":
        return whole_labels(_unscaled(np.asarray(upright), 65535, greatest), path)
    return np.array(upright.convert("RGB"))


def _unscaled(values: Shaped[np.ndarray, "h w"], white: int, greatest: int | None) -> Shaped[np.ndarray, "h w"]:
    """The numbers of a PGM, of which Pillow takes the greatest that it may have for white."""
    return values if greatest is None else np.rint(values * (greatest / white)).astype(values.dtype)


def uncoloured(
    mask: UInt[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], path: FilePath, colours: Colours
) -> UInt[np.ndarray, "h w"]:
    """The numbers of what `decode_mask` read: of a coloured mask those that `colours` gives.

    Raises:
        DataError: a coloured mask without `colours`, or a colour that is not among them.
    """
    if mask.ndim == 3 and not colours and (mask == mask[..., :1]).all():
        mask = mask[..., 0]  # a grey mask that was saved in RGB
    if mask.ndim == 2:
        return mask
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
    keys, classes = np.array([key for key, _ in table]), np.array([index for _, index in table])
    position = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    strange = keys[position] != codes
    if strange.any():
        y, x = np.argwhere(strange)[0]
        raise DataError(
            f"{shown(path)} has {counted(strange.sum(), 'pixel')} of colours that classes.txt does not list, the first "
            f"#{codes[y, x]:06x} at x={x}, y={y}: add the colour there (as `ignore #rrggbb` if it is no class)."
        )
    return classes.astype(mask_type(int(classes.max())))[position]


def fitted(mask: UInt[np.ndarray, "h w"], path: FilePath, num_classes: int) -> UInt[np.ndarray, "h w"]:
    """Numbers in the type of masks of so many classes, and what is ignored as these have it.

    Raises:
        DataError: a number that this type does not hold.
    """
    kind = mask_type(num_classes)
    if mask.dtype == kind:
        return mask
    if kind == np.uint8:
        wrong = (mask > 255) & (mask != MOST_CLASSES)
        if wrong.any():
            y, x = np.argwhere(wrong)[0]
            raise DataError(
                f"{shown(path)} has {counted(wrong.sum(), 'pixel')} whose value is no class number, the first "
                f"{mask[y, x]} at x={x}, y={y}: a mask of up to 255 classes holds 0 to 254, and 255 to ignore."
            )
    return mask.astype(kind)  # all bits of 16 become all bits of 8


def _label_array(
    stored: Shaped[np.ndarray, "h w s"], path: FilePath, nodata: float | None = None
) -> UInt[np.ndarray, "h w *c"]:
    """The labels that samples stand for, or their colours; ignored is no data of the value 255 or of no class."""
    if stored.shape[2] == 3 and stored.dtype == np.uint8:
        return stored
    if stored.shape[2] != 1:
        raise DataError(
            f"{shown(path)} is a mask of {stored.shape[2]} bands: save the class of every pixel in one or, where each "
            "is of a label that may overlap others, name the labels in classes.txt."
        )
    return whole_labels(with_ignored(stored[..., 0], nodata), path)


def with_ignored(values: Shaped[np.ndarray, "h w *s"], nodata: float | None) -> Shaped[np.ndarray, "h w *s"]:
    """Numbers that are 65535 where there is no data, but where its value may well be a class, below 255."""
    if nodata is None or 0 <= nodata < 255 or not (values == nodata).any() | np.isnan(nodata):
        return values
    return np.where(np.isnan(values) if np.isnan(nodata) else values == nodata, np.int32(MOST_CLASSES), values)


def whole_labels(values: Shaped[np.ndarray, "h w"], path: FilePath) -> UInt[np.ndarray, "h w"]:
    """Numbers of any type as those of `decode_mask`.

    Raises:
        DataError: one is no class number.
    """
    wrong = (values < 0) | (values > MOST_CLASSES) | (values != np.floor(values))
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise DataError(
            f"{shown(path)} has {counted(wrong.sum(), 'pixel')} whose value is no class number, the first "
            f"{values[y, x]:g} at x={x}, y={y}: a mask holds classes from 0 on, and 255 or, beyond 255 classes, 65535 "
            "to ignore."
        )
    return values.astype(np.uint8 if values.max(initial=0) <= 255 else np.uint16)
