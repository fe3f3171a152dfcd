"""Images larger than memory, read by windows: tiled TIFFs such as Cloud-Optimised GeoTIFF, OME-TIFF, and Zarr."""

import functools
import importlib
import itertools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Shaped

from segjax.data.formats import tiff
from segjax.data.formats.opened import image_stream, shown, tiff_pages
from segjax.data.formats.rasters import Raster, raster
from segjax.errors import DataError

LARGE = 2**26
"""Pixels from which on an image is read by windows, where its format has any."""
TILE = 1024
"""The greatest side of a window that trains."""
ZARR = ".zarr"

Window = tuple[slice, slice]
"""Rows and columns, both with a start and a stop."""


class Scene(Protocol):
    """An image of which any window can be read, from any thread."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and bands."""
        ...

    @property
    def nodata(self) -> float | None:
        """The value of pixels without data."""
        ...

    def read(self, window: Window) -> Raster:
        """The samples there.

        Raises:
            DataError: they cannot be read.
        """
        ...

    def labels(self, window: Window) -> Shaped[np.ndarray, "h w s"]:
        """The same as the labels that they are in a mask."""
        ...


def open_scene(path: str | os.PathLike[str]) -> Scene | None:
    """The image of a file by windows; None where it is read whole: of fewer pixels, or of a format without them.

    Raises:
        DataError: it cannot be opened, or is of a kind that needs a package that is not there.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".tif", ".tiff", ZARR):
        return None
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None  # which reading it will say
    scene = _opened(path, changed)
    return scene if scene is not None and scene.shape[0] * scene.shape[1] >= LARGE else None


@functools.lru_cache(maxsize=64)
def _opened(path: Path, changed: int) -> Scene | None:
    del changed
    if path.suffix.lower() == ZARR:
        return ZarrScene(path)
    with image_stream(path, None) as stream:
        pages = tiff_pages(stream, shown(path), most=None)
    return TiffScene(path, pages) if pages and pages[0].number(tiff.ORIENTATION) == 1 else None


def whole(shape: tuple[int, ...]) -> Window:
    """The window that is all of an image."""
    return slice(0, shape[0]), slice(0, shape[1])


def windows(shape: tuple[int, ...], side: int = TILE) -> Iterator[Window]:
    """Windows that cover an image, none larger than `side`, none upon another, and all nearly alike."""

    def cut(length: int) -> list[slice]:
        edges = np.linspace(0, length, math.ceil(length / side) + 1).round().astype(int).tolist()
        return [slice(start, stop) for start, stop in itertools.pairwise(edges)]

    columns = cut(shape[1])
    return ((rows, across) for rows in cut(shape[0]) for across in columns)


@dataclass(frozen=True)
class TiffScene:
    """One image of a TIFF, or the planes of an OME-TIFF as its bands."""

    path: Path
    pages: list[tiff.Page] = field(repr=False)

    @cached_property
    def _images(self) -> list[tiff.Page]:
        return [page for page in self.pages if page.is_image]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and bands."""
        height, width, samples = self.pages[0].shape
        return height, width, samples * len(self._images)

    @property
    def nodata(self) -> float | None:
        """The value of pixels without data."""
        return self.pages[0].nodata

    def stored(self, window: Window) -> Shaped[np.ndarray, "h w s"]:
        """The samples of a window as they are stored."""
        name = shown(self.path)
        page = self.pages[0]
        if not page.is_unpacked:
            return _by_rasterio(self.path, window)
        with image_stream(self.path, None) as stream:
            parts = [tiff.read_pixels(stream, one, name, window) for one in self._images]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def labels(self, window: Window) -> Shaped[np.ndarray, "h w s"]:
        """The samples of a window as labels, without opacity."""
        return self.pages[0].labels(self.stored(window))

    def read(self, window: Window) -> Raster:
        """The samples of a window, and where it has no data.

        Raises:
            DataError: its colours are neither grey nor RGB.
        """
        name, page = shown(self.path), self.pages[0]
        if not page.is_of_numbers:
            raise DataError(
                f"{name} is a TIFF to be read by windows whose colours (photometric interpretation "
                f"{page.number(tiff.PHOTOMETRIC)}) are neither grey nor RGB: convert it, as "
                "`gdal_translate -expand rgb` does for a palette."
            )
        pixels = page.brightness(self.stored(window))
        with image_stream(self.path, None) as stream:
            there: Bool[np.ndarray, "h w"] | None = tiff.opaque(stream, self.pages, page, name, window)
        return raster(pixels, name, has_alpha=page.has_alpha, nodata=page.nodata_brightness, opaque=there)


def _by_rasterio(path: Path, window: Window) -> Shaped[np.ndarray, "h w s"]:
    """What GDAL unpacks and segjax does not: JPEG, WebP, LERC."""
    rasterio = _package("rasterio", "geo", path)
    with rasterio.open(path) as file:
        rows, columns = window
        part = ((rows.start, rows.stop), (columns.start, columns.stop))
        return np.moveaxis(file.read(window=part), 0, -1)


@dataclass(frozen=True)
class ZarrScene:
    """The largest image of an OME-Zarr, or an array of Zarr: height and width, with bands before or after them."""

    path: Path
    nodata: None = None

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        zarr = _package("zarr", "micro", self.path)
        try:
            found = zarr.open(os.fspath(self.path), mode="r")
            array, axes = (found, "") if hasattr(found, "dtype") else _first_of_pyramid(found)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise DataError(f"{shown(self.path)} is no Zarr of one image ({error}): write it again.") from None
        named = getattr(array.metadata, "dimension_names", None) or array.attrs.get("_ARRAY_DIMENSIONS") or ()
        axes = axes or "".join(str(name).lower()[:1] for name in named)
        bands_first = array.ndim == 3 and array.shape[0] <= min(array.shape[1:])
        axes = axes.replace("b", "c") or {2: "yx", 3: "cyx" if bands_first else "yxc"}.get(array.ndim, "")
        others = [side for axis, side in zip(axes, array.shape, strict=False) if axis not in "yxc"]
        if len(axes) != array.ndim or not {"y", "x"} <= set(axes) or any(side != 1 for side in others):
            raise DataError(
                f"{shown(self.path)} has the axes {axes or '?'} of {array.shape}: give one image of height and width, "
                "with or without channels."
            )
        return array, axes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and bands."""
        array, axes = self._opened
        sides = dict(zip(axes, array.shape, strict=True))
        return sides["y"], sides["x"], sides.get("c", 1)

    def read(self, window: Window) -> Raster:
        """The samples of a window."""
        return raster(self.stored(window), shown(self.path))

    def labels(self, window: Window) -> Shaped[np.ndarray, "h w s"]:
        """The samples of a window as labels: as they are stored."""
        return self.stored(window)

    def stored(self, window: Window) -> Shaped[np.ndarray, "h w s"]:
        """The samples of a window as they are stored."""
        array, axes = self._opened
        rows, columns = window
        place = tuple({"y": rows, "x": columns, "c": slice(None)}.get(axis, 0) for axis in axes)
        part, left = np.asarray(array[place]), [axis for axis in axes if axis in "yxc"]
        if "c" not in left:
            part, left = part[..., None], [*left, "c"]
        return part.transpose([left.index(axis) for axis in "yxc"])


def _first_of_pyramid(group: Any) -> tuple[Any, str]:
    attributes = dict(group.attrs)
    scales = attributes.get("ome", attributes)["multiscales"][0]
    axes = "".join(axis["name"] if isinstance(axis, dict) else axis for axis in scales["axes"])
    return group[scales["datasets"][0]["path"]], axes


def _package(name: str, extra: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise DataError(f"{shown(path)} is read by {name}: install it with `pip install 'segjax[{extra}]'`.") from None
