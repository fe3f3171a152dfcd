"""Where on earth an image file lies, and how that is written for what is made of it."""

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from segjax.data.formats import tiff
from segjax.data.formats.images import shown
from segjax.data.formats.opened import image_stream, read_header, stored_orientation, tiff_pages
from segjax.errors import DataError

Affine = Float[np.ndarray, "3 3"]
"""Takes (x, y, 1) of a point of the image, in pixels from its upper left corner, to its place on earth."""
_SCALE, _TIE_POINTS, _MATRIX, _KEYS, _DOUBLES, _TEXTS = 33550, 33922, 34264, 34735, 34736, 34737
_TYPES = {_SCALE: 12, _TIE_POINTS: 12, _MATRIX: 12, _KEYS: 3, _DOUBLES: 12, _TEXTS: 2}
_RASTER_TYPE, _GEOGRAPHIC, _PROJECTED = 1025, 2048, 3072  # keys of GeoTIFF 1.1
_POINT = 2  # a pixel's place is that of its middle
_UNKNOWN = 32767


@dataclass(frozen=True)
class Place:
    """Where an upright image lies."""

    tags: dict[int, Any]
    """GeoTIFF's, by their numbers."""
    affine: Affine | None
    """None where many points tie the image to the earth, which no such map does exactly."""
    wkt: str | None = None
    """The reference system, where a file beside the image says it and no tag does."""

    @property
    def epsg(self) -> int | None:
        """The number of the reference system, where it has one."""
        keys = np.array(self.tags.get(_KEYS, ())).reshape(-1, 4)
        found = {int(key): int(value) for key, place, _, value in keys if place == 0}
        code = found.get(_PROJECTED, found.get(_GEOGRAPHIC, _UNKNOWN))
        return code if 1024 <= code < _UNKNOWN else None

    def tiff_tags(self, nodata: str) -> ImageFileDirectory_v2:
        """What Pillow writes into a TIFF of this place."""
        directory = ImageFileDirectory_v2()
        for tag, value in {**self.tags, tiff.NODATA: nodata}.items():
            directory.tagtype[tag] = _TYPES.get(tag, 2)
            directory[tag] = value
        return directory

    def aux_xml(self) -> bytes | None:
        """What GDAL reads beside a TIFF whose tags do not say its reference system."""
        if self.wkt is None:
            return None
        root = ElementTree.Element("PAMDataset")
        ElementTree.SubElement(root, "SRS").text = self.wkt
        return ElementTree.tostring(root)


def place_of(path: Path) -> Place | None:
    """Where an image lies by the tags of a GeoTIFF, by a world file beside it or GDAL's .aux.xml; None where none does.

    An image that is stored turned has been turned upright, and its place with it.

    Raises:
        DataError: a world file without its six numbers, or numbers of a place that are NaN or infinite.
    """
    if path.is_dir():  # a Zarr
        return None
    with image_stream(path, None) as stream:
        pages = tiff_pages(stream, shown(path), most=None)
        tags = {tag: _plain(pages[0].tags[tag]) for tag in _TYPES if tag in pages[0].tags} if pages else {}
    if tags.keys() & {_SCALE, _TIE_POINTS, _MATRIX}:
        affine, wkt = _of_tags(tags), None if _KEYS in tags else _reference_system(path)
    else:
        affine, wkt = _of_world_file(path), _reference_system(path)
        affine, wkt = (affine, wkt) if affine is not None else _of_aux_xml(path)
        if affine is None:
            return None
        tags = {_MATRIX: _matrix(affine)}
    if affine is not None and not np.isfinite(affine).all():
        raise DataError(
            f"{shown(path)} has NaN or infinity among the numbers of its place, in its tags or in a file beside it: "
            "mend them, or take them away."
        )
    turned = stored_orientation(path)
    if turned != 1:
        if affine is None:
            return None
        width, height = _stored_size(path, pages)
        affine = affine @ _to_stored(turned, width, height)
        tags = {tag: value for tag, value in tags.items() if tag not in (_SCALE, _TIE_POINTS)}
        tags[_MATRIX] = _matrix(affine if not _is_point(tags) else affine @ _shift(0.5))
    return Place(tags, affine, wkt)


def _stored_size(path: Path, pages: list[tiff.Page]) -> tuple[int, int]:
    if pages:
        return pages[0].shape[1], pages[0].shape[0]
    with image_stream(path, None) as stream, read_header(stream, shown(path)) as image:
        return image.size


def _plain(values: np.ndarray) -> Any:
    if values.dtype.kind == "S":
        return values.tobytes().rstrip(b"\0")  # whose letters the keys count as bytes
    return tuple(values.tolist())


def _of_tags(tags: dict[int, Any]) -> Affine | None:
    if _MATRIX in tags and len(tags[_MATRIX]) == 16:
        matrix = np.array(tags[_MATRIX], np.float64).reshape(4, 4)
        affine = matrix[[0, 1, 3]][:, [0, 1, 3]]
    elif _SCALE in tags and len(tags.get(_TIE_POINTS, ())) == 6:
        (across, down), (column, row, _, x, y, _) = tags[_SCALE][:2], tags[_TIE_POINTS]
        affine = np.array([[across, 0, x - across * column], [0, -down, y + down * row], [0, 0, 1]])
    else:
        return None
    return affine @ _shift(-0.5) if _is_point(tags) else affine


def _is_point(tags: dict[int, Any]) -> bool:
    keys = np.array(tags.get(_KEYS, ())).reshape(-1, 4)
    return any(key == _RASTER_TYPE and value == _POINT for key, _, _, value in keys)


def _shift(pixels: float) -> Affine:
    return np.array([[1, 0, pixels], [0, 1, pixels], [0, 0, 1]], np.float64)


def _matrix(affine: Affine) -> tuple[float, ...]:
    (a, b, c), (d, e, f), _ = affine.tolist()
    return (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def _to_stored(orientation: int, width: int, height: int) -> Affine:
    """From points of the upright image to those of the stored one, of that size."""
    x, y, from_right, from_bottom = (1, 0, 0), (0, 1, 0), (-1, 0, width), (0, -1, height)
    down_right, down_left = (0, -1, width), (-1, 0, height)  # of axes that change places
    column, row = {
        2: (from_right, y),
        3: (from_right, from_bottom),
        4: (x, from_bottom),
        5: (y, x),
        6: (y, down_left),
        7: (down_right, down_left),
        8: (down_right, x),
    }.get(orientation, (x, y))
    return np.array([column, row, (0, 0, 1)], np.float64)


def _of_world_file(path: Path) -> Affine | None:
    suffix = path.suffix.lower()
    endings = (f"{suffix[:2]}{suffix[-1]}w", f"{suffix}w", ".wld") if suffix else (".wld",)
    # By their names: a folder may hold a hundred thousand images, and is not to be listed for each.
    named = [path.with_suffix(spelt) for ending in endings for spelt in (ending, ending.upper())]
    beside = [file for file in named if file.exists()]
    if not beside:
        return None
    try:
        a, d, b, e, c, f = map(float, beside[0].read_text("ascii").replace(",", ".").split())
    except (ValueError, OSError):
        raise DataError(f"{shown(beside[0])} is no world file of six numbers: mend it or take it away.") from None
    return np.array([[a, b, c], [d, e, f], [0, 0, 1]]) @ _shift(-0.5)  # it places the middle of the first pixel


def _reference_system(path: Path) -> str | None:
    for file in (path.with_suffix(".prj"), path.with_suffix(".PRJ")):
        if file.is_file():
            return file.read_text("utf-8", errors="replace").strip() or None
    return _of_aux_xml(path)[1]


def _of_aux_xml(path: Path) -> tuple[Affine | None, str | None]:
    file = path.with_name(f"{path.name}.aux.xml")
    if not file.is_file():
        return None, None
    text = file.read_text("utf-8", errors="replace")
    transform = re.search(r"<GeoTransform>([^<]*)</GeoTransform>", text)
    system = re.search(r"<SRS[^>]*>([^<]*)</SRS>", text)
    wkt = html.unescape(system.group(1)) if system else None
    try:
        c, a, b, f, d, e = (float(number) for number in (transform.group(1) if transform else "").split(","))
    except ValueError:
        return None, wkt
    return np.array([[a, b, c], [d, e, f], [0, 0, 1]]), wkt
