"""What is in an image file before anything is made of it: its samples at their own depth, and where it has none."""

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Num, Shaped

from segjax.errors import DataError, counted

Depth = Literal["uint8", "uint16", "float32"]
"""What images are kept in until a model normalises them."""
WHITE: dict[Depth, float] = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The stored number that normalisation counts as 1."""
_ODD = 0.05
"""The share of half-opaque pixels from which opacity is more likely a band of another meaning."""
_EXACT = 2**24
"""Whole numbers up to this size are numbers of float32, too."""
_DEPTHS: dict[str, Depth] = {depth: depth for depth in get_args(Depth)}


def depth_of(image: Num[np.ndarray, "..."]) -> Depth:
    """The type of the numbers of an image."""
    return _DEPTHS[image.dtype.name]


class Raster(NamedTuple):
    """The samples of an image file."""

    pixels: Num[np.ndarray, "h w c"]
    """uint8, uint16 or float32."""
    has_alpha: bool = False
    """The last of its samples is said to be opacity."""
    missing: Bool[np.ndarray, "h w"] | None = None
    """Where there is no data; None where the file does not say so."""
    orientation: int = 1
    """EXIF's number of how the file stores them; here they are upright."""
    odd_alpha: bool = False
    """Its opacity has many values, as a band would that only is called so."""

    def bands(self, chosen: tuple[int, ...] | None, name: str) -> "Raster":
        """The samples that are asked for, by their numbers from 1.

        Without numbers all of them, but not opacity, and grey as three equal ones, as photographs are taken.

        Raises:
            DataError: there are fewer.
        """
        count = self.pixels.shape[2]
        if chosen is not None:
            if max(chosen) > count:
                raise DataError(f"{name} has {counted(count, 'band')}, and band {max(chosen)} is asked for by --bands.")
            pixels = np.ascontiguousarray(self.pixels[..., [number - 1 for number in chosen]])
            return self._replace(pixels=pixels, has_alpha=False)
        pixels = self.pixels[..., : count - 1] if self.has_alpha else self.pixels
        pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
        return self._replace(pixels=np.ascontiguousarray(pixels), has_alpha=False)


def raster(
    stored: Shaped[np.ndarray, "h w c"],
    name: str,
    *,
    has_alpha: bool = False,
    nodata: float | None = None,
    opaque: Bool[np.ndarray, "h w"] | None = None,
) -> Raster:
    """Samples of any type of number as a raster.

    Whole numbers below 0 or above 65535, and floating point of other sizes, become float32. A pixel has no data where
    all of its bands have the value of no data or are no numbers, where the file's own mask says so, or where its
    opacity is nothing, unless opacity has many values. What is there instead is each band's mean, so that nothing
    near it looks like an edge.

    Args:
        stored: as the file has them.
        name: what sentences call the file.
        has_alpha: whether the last sample is opacity.
        nodata: the value of pixels without data.
        opaque: where the file says that there are pixels.

    Raises:
        DataError: whole numbers that float32 cannot tell apart.
    """
    values = stored[..., :-1] if has_alpha else stored
    absent = None if nodata is None or np.isnan(nodata) else _equal(values, nodata)
    missing: Any = None if absent is None else absent.all(axis=2)
    if opaque is not None:
        missing = _either(missing, np.logical_not(opaque))
    odd = False
    if has_alpha:
        alpha = np.asarray(stored[..., -1])
        nothing: Any = np.equal(alpha, 0)
        odd = float((~nothing & (alpha != alpha.max())).mean()) > _ODD
        if not odd and nothing.any():
            missing = _either(missing, nothing)
    pixels = _with_depth(stored, missing, name)
    if pixels.dtype != np.float32:
        absent = None  # 0 in one band of three may well be a colour
    elif not (finite := _finite(pixels[..., : values.shape[2]])).all():
        absent = _either(absent, ~finite)
        missing = _either(missing, np.asarray(absent.all(axis=2)))
    if missing is not None and not missing.any():
        missing = None
    return Raster(_filled(pixels, absent, missing), has_alpha, missing, odd_alpha=odd)


def _equal(values: Shaped[np.ndarray, "h w c"], nodata: float) -> Bool[np.ndarray, "h w c"]:
    # Through the type, since GDAL writes no data of float32 with the digits of float64.
    return np.equal(values, values.dtype.type(nodata) if values.dtype.kind == "f" else nodata)


def _finite(values: Num[np.ndarray, "h w c"]) -> np.ndarray:
    return np.asarray(np.isfinite(values))


def _either(one: np.ndarray | None, other: np.ndarray) -> np.ndarray:
    return other if one is None else np.logical_or(one, other)


def _with_depth(stored: np.ndarray, missing: np.ndarray | None, name: str) -> Num[np.ndarray, "h w c"]:
    kind, size = stored.dtype.kind, stored.dtype.itemsize
    if kind == "b" or (kind == "u" and size <= 2):
        return stored.astype(np.uint8) if kind == "b" else stored
    if kind in "ui" and size > 2:
        there = stored if missing is None else stored[~missing]
        if there.size and (there.max() > _EXACT or there.min() < -_EXACT):
            raise DataError(
                f"{name} holds whole numbers of {there.min()} to {there.max()}, more than float32 tells apart: scale "
                "them, or save them with 16 bits."
            )
    with np.errstate(over="ignore"):
        return stored.astype(np.float32)


def _filled(pixels: np.ndarray, absent: np.ndarray | None, missing: np.ndarray | None) -> np.ndarray:
    if absent is None and missing is None:
        return pixels
    pixels = pixels.copy()
    for band in range(pixels.shape[2]):
        plane = pixels[..., band]
        gone = np.zeros(plane.shape, bool) if missing is None else missing.copy()
        if absent is not None and band < absent.shape[2]:
            gone |= absent[..., band]
        if gone.any():
            there = plane[~gone]
            plane[gone] = there.mean(dtype=np.float64) if there.size else 0
    return pixels
