"""Images whose channels are files of their own: nnU-Net's case_0000.png, case_0001.png."""

import os
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from segjax.data.formats.images import read_raster, shown
from segjax.data.formats.rasters import Raster
from segjax.errors import DataError


def read_channels(path: str | os.PathLike[str], endings: Sequence[str], chosen: tuple[int, ...] | None) -> Raster:
    """Read one image: the file, or the files of all its channels.

    Args:
        path: the file; where there are channels, that of the first.
        endings: what the names of the channels' files end with, "_0000" and "_0001"; none where a file is an image.
        chosen: the numbers, from 1, of the bands to take, or None for all.

    Raises:
        DataError: a file cannot be read or is missing, or the channels differ in size or depth.
    """
    if not endings:
        return read_raster(path, bands=chosen)
    path = Path(path)
    if not path.stem.endswith(endings[0]):
        raise DataError(f"{shown(path)} does not end in {endings[0]}, as the file of an image's first channel does.")
    stem = path.stem.removesuffix(endings[0])
    files = [path.with_name(f"{stem}{ending}{path.suffix}") for ending in endings]
    parts = [read_raster(file, bands=(1,)) for file in files]
    kinds = [f"{one.pixels.shape[1]}x{one.pixels.shape[0]} pixels of {one.pixels.dtype}" for one in parts]
    for file, kind in zip(files, kinds, strict=True):
        if kind != kinds[0]:
            raise DataError(
                f"{shown(file)} has {kind}, and the first channel has {kinds[0]}: save all channels of an image alike."
            )
    pixels = np.concatenate([part.pixels for part in parts], axis=2)
    missing = reduce(_either, [part.missing for part in parts])
    return parts[0]._replace(pixels=pixels, missing=missing).bands(chosen, shown(path))


def _either(
    one: Bool[np.ndarray, "h w"] | None, other: Bool[np.ndarray, "h w"] | None
) -> Bool[np.ndarray, "h w"] | None:
    return other if one is None else one if other is None else one | other
