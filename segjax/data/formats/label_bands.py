"""Masks of labels that may overlap: a folder of masks for each label, or files with a band for each."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt, UInt8

from segjax.data.formats import tiff
from segjax.data.formats.arrays import SUFFIXES as ARRAYS
from segjax.data.formats.arrays import is_array_file, read_array
from segjax.data.formats.classes import ClassList, bright_palette
from segjax.data.formats.mask_files import decode_mask, fitted, read_mask, uncoloured, whole_labels, with_ignored
from segjax.data.formats.opened import FilePath, image_stream, shown, tiff_pages, upright_pixels
from segjax.data.formats.scenes import Window
from segjax.errors import DataError

if TYPE_CHECKING:
    from segjax.data.formats.layouts import FoundImages, ImageAndMask

_OF_BANDS = (".tif", ".tiff", *ARRAYS)
"""Endings of files that may have a band for each label."""
_LOOKED_AT = 20
"""Files of three bands that are read to tell labels from grey."""


def by_label(masks: Mapping[str, Path], images: Container[str], ends: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Masks by label and image, where each is in a folder below that of masks, called by its label; none otherwise.

    `masks` and `images` are paths below their folders, without what follows the shared name; `ends` may follow it in
    the name of a mask.
    """
    labels: dict[str, dict[str, Path]] = {}
    belongs = False
    for name, path in masks.items():
        label, _, rest = name.partition("/")
        stems = [name.removesuffix(end) for end in ends if name.endswith(end)]
        if not rest or any(stem in images for stem in stems):
            return {}
        stems = [rest.removesuffix(end) for end in ends if rest.endswith(end)] or [rest]
        matching = [stem for stem in stems if stem in images]
        labels.setdefault(label, {})[(matching or stems)[0]] = path
        belongs = belongs or bool(matching)
    return labels if belongs else {}


def name_labels(found: "FoundImages") -> None:
    """Decide whether a folder's masks are of labels that may overlap, and of which, once its class list is read."""
    if found.label_files:
        there = sorted(found.label_files)
        if found.classes is None:
            found.classes = ClassList(tuple(there), bright_palette(len(there)), {})
        elif set(found.classes.names) != set(there):
            found.error(
                "labels",
                found.root,
                f"has masks in folders called {', '.join(there)}, and the classes {', '.join(found.classes.names)}: "
                "give a folder of masks to each class, by its name",
            )
        found.labels = found.classes.names
        found.label_files = {name: found.label_files.get(name, {}) for name in found.labels}
        found.notes.append(f"Masks are in a folder for each label ({', '.join(found.labels)}), so labels may overlap.")
    elif found.classes is not None and len(found.classes.names) > 1:
        files = [path for path in found.masks.values() if path.suffix.lower() in _OF_BANDS][:_LOOKED_AT]
        count = len(found.classes.names)
        if files and _bands(files[0]) == count and not (count == 3 and _of_colours(found, files)):
            found.labels = found.classes.names
            found.notes.append(f"Masks have a band for each label ({', '.join(found.labels)}), so labels may overlap.")


def _of_colours(found: "FoundImages", files: list[Path]) -> bool:
    """Whether masks of three bands are of colours, or grey that was saved as such."""
    assert found.classes is not None
    try:
        return bool(found.classes.colours) or all(not np.ptp(_stored(path)[0], axis=2).any() for path in files)
    except DataError:  # which reading it will say
        return False


def read_truth(
    pair: "ImageAndMask",
    classes: ClassList,
    levels: UInt[np.ndarray, " n"] | None,
    *,
    multilabel: bool,
    window: Window | None = None,
) -> UInt[np.ndarray, "h w *k"]:
    """The mask of an image, a band for each label where they may overlap; `levels` is what numbers stand for.

    Raises:
        DataError: as `read_labels`, or as `read_mask`.
    """
    if not multilabel:
        count = len(classes.names)
        return read_mask(pair.mask, num_classes=count, colours=classes.colours, levels=levels, window=window)
    bands = read_labels(pair, classes.names)
    bands = bands if window is None else bands[window]
    return bands if levels is None else levels[bands]


def read_labels(pair: "ImageAndMask", labels: Sequence[str]) -> UInt8[np.ndarray, "h w k"]:
    """The numbers of the masks of an image as they are stored, a band for each label; 0 for a label without a file.

    Raises:
        DataError: a file cannot be read, or is no mask of one label; masks of two sizes; more or fewer bands than
            labels.
    """
    if not pair.labels:
        bands = _read_bands(pair.mask)
        if bands.shape[2] != len(labels):
            raise DataError(
                f"{shown(pair.mask)} is a mask of {bands.shape[2]} bands, and there are {len(labels)} labels: give it "
                "a band for each, in the order of classes.txt."
            )
        return bands
    masks = [None if path is None else _read_one(path) for path in pair.labels]
    size = next(mask.shape for mask in masks if mask is not None)
    for path, mask in zip(pair.labels, masks, strict=True):
        if path is not None and mask is not None and mask.shape != size:
            first = next(path for path in pair.labels if path is not None)
            raise DataError(
                f"{shown(path)} is {mask.shape[1]}x{mask.shape[0]} pixels and {shown(first)} {size[1]}x{size[0]}: "
                "masks of one image must be of its size."
            )
    return np.stack([np.zeros(size, np.uint8) if mask is None else mask for mask in masks], axis=-1)


def _read_one(path: Path) -> UInt8[np.ndarray, "h w"]:
    stored = decode_mask(path)
    if stored.ndim == 3 and (stored != stored[..., :1]).any():
        raise DataError(
            f"{shown(path)} is a coloured mask in the folder of one label: save it grey, 0 where a pixel has not the "
            "label, and 1 (or 255) where it has."
        )
    return fitted(uncoloured(stored, path, {}), path, 2)


def _bands(path: FilePath) -> int:
    """How many bands a mask has; 1 where it cannot be read, which reading it will say."""
    try:
        return _stored(path)[0].shape[2]
    except DataError:
        return 1


def _read_bands(path: Path) -> UInt8[np.ndarray, "h w k"]:
    stored = with_ignored(*_stored(path))
    bands = [fitted(whole_labels(stored[..., band], path), path, 2) for band in range(stored.shape[2])]
    return np.stack(bands, axis=-1)


def _stored(path: FilePath) -> tuple[np.ndarray, float | None]:
    name = shown(path)
    with image_stream(path, None) as stream:
        start = stream.read(12)
        stream.seek(0)
        if is_array_file(start):
            return read_array(stream, name), None
        if pages := tiff_pages(stream, name):
            page = pages[0]
            return upright_pixels(tiff.read_pixels(stream, page, name), page.number(tiff.ORIENTATION)), page.nodata
    raise DataError(f"{name} has no bands for labels: save masks of several bands as TIFF, .npy or .npz.")
