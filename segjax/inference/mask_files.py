"""Masks of image files: palette images, overlays, and class probabilities."""

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Float32
from PIL import Image

from segjax.data.formats.bands import Bands
from segjax.drawing import Palette, draw_overlay
from segjax.inference.files import Opened, Summary, for_each_image
from segjax.inference.found import Labels
from segjax.inference.georeference import Place, place_of
from segjax.inference.outputs import Add, npy_writer, png_writer, replacing, write_image
from segjax.inference.prediction import Variables, predict_strips
from segjax.inference.tiff_file import tiff_writer
from segjax.inference.tiling import Tiling
from segjax.inference.windowed import Windowed

Probabilities = Literal["npy", "png"]
"""How class probabilities are written."""
_SHARES = "_probabilities.tif"


def predict_mask_files(
    model: nn.Module,
    variables: Variables,
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    class_names: Sequence[str],
    palette: Palette,
    tiling: Tiling = Tiling(),
    probabilities: Probabilities | None = None,
    bands: Bands | None = None,
    thresholds: Sequence[float] | None = None,
) -> Summary:
    """Label every pixel of image files of any size and mode, and write what came of it below the folder `out`.

    What is written is what `MaskResults` says. A file that cannot be read is named on stderr and left out; the summary
    has it among the failed. A result is whole or not there, even when the process is killed; earlier results of the
    same name are replaced. The first image of every new size takes longer: the model is compiled for it.

    Args:
        model: takes images (n h w c) as they are stored, and gives logits (n h w k).
        variables: what `model.apply` takes, as `segjax.load` gives them.
        paths: files, folders (with their subfolders) and globs (`**` for any number of folders).
        out: made where it is missing.
        class_names: of every class that the model tells.
        palette: the colour (red, green, blue in 0..255) of every class.
        tiling: as in `predict`.
        probabilities: whether to write those, too.
        bands: what the images must be, as `Dataset.images` has it; None takes them as they are stored, in RGB.
        thresholds: where logits are those of sigmoids: the probability from which on a pixel has each label or, of two
            classes and one logit, the second class.

    Raises:
        InferenceError: as `predict`; a result that would overwrite one of the image files, or cannot be written; class
            names that are not as many as the model's classes.
    """
    variables = jax.device_put(variables)
    labels = Labels(class_names, palette, thresholds)
    results = MaskResults(labels, probabilities)

    def write(opened: Opened) -> Path:
        strips = predict_strips(model, variables, opened.image, tiling=tiling, activation=labels.activation)
        return results.write(opened, strips)

    return for_each_image(write, paths, out, results.endings, bands, by_windows=True)


class MaskResults:
    """What is written for the mask of each image file.

    For a file called a.jpg, with the path that it has below the folder or glob it was found by:
    `a.png`, an image whose pixels are the classes, with a palette or, beyond 255 classes, of 16 bits; `a_overlay.png`,
    the image with the classes laid over it and a legend; where tags, a world file or GDAL's .aux.xml place it on earth,
    `a.tif`, the mask again with the tags that place it; of labels that may overlap `a_mask_<number>_<label>.png`, and
    `.tif`, for each: 1 where a pixel has it, 0 where not; with `probabilities="npy"`, `a_probabilities.npy` (h w k
    float32); with `"png"`, `a_<number>_<class>.png` for each class, grey and 16 bits deep, in which 65535 is one; with
    either of an image that is placed, `a_probabilities.tif` of float32, a band for each class. All of them show the
    image upright, as its EXIF orientation says. Where the image has no data, a mask is 255 (of 16 bits 65535), and says
    so; probabilities are NaN, and 0 in PNG.

    Of an image that is read by windows there are no PNGs of the mask or of probabilities: `a.tif`, those of labels and
    `a_probabilities.tif` are written as they are predicted, placed where the image is, and `a_overlay.png` is of every
    so many pixels.
    """

    def __init__(self, labels: Labels, probabilities: Probabilities | None = None) -> None:
        self._labels, self._probabilities = labels, probabilities
        names = [f"_{number}_{_in_file_name(name)}" for number, name in enumerate(labels.class_names)]
        self._masks = [f"_mask{name}" for name in names] if labels.overlap else [""]
        self._shares = [f"{name}.png" for name in names] if probabilities == "png" else ["_probabilities.npy"]
        of_masks = [f"{name}{ending}" for name in self._masks for ending in (".png", ".tif", ".tif.aux.xml")]
        self.endings: tuple[str, ...] = (*of_masks, "_overlay.png", _SHARES, f"{_SHARES}.aux.xml", *self._shares)
        """Of the names of all results that a file can have."""

    def write(self, opened: Opened, strips: Iterable[tuple[int, Float32[np.ndarray, "rows w k"]]]) -> Path:
        """Write the results of an image from its probabilities, as `predict_strips` gives them; returns its first mask.

        Raises:
            InferenceError: probabilities of more or fewer classes than have names.
        """
        if isinstance(opened.image, Windowed):
            return self._write_by_windows(opened, opened.image, strips)
        height, width, _ = opened.image.shape
        labels, place = self._labels, place_of(opened.file)
        count = len(labels.class_names)
        mask = np.empty((height, width, count) if labels.overlap else (height, width), labels.mask_type)
        with ExitStack() as stack:
            adds = [stack.enter_context(writer) for writer in self._writers(opened.stem, (height, width, count), place)]
            for row, strip in strips:
                rows = slice(row, row + len(strip))
                mask[rows], strip = labels.decided(strip, None if opened.missing is None else opened.missing[rows])
                for add in adds:
                    add(row, strip)
                opened.advance(len(strip) / height)
        for name, image in zip(self._masks, labels.images(mask), strict=True):
            _write_mask(f"{opened.stem}{name}", image, place, np.iinfo(labels.mask_type).max)
        if place is not None and self._probabilities is not None:
            _write_system(Path(f"{opened.stem}{_SHARES}"), place)
        write_image(
            Path(f"{opened.stem}_overlay.png"), draw_overlay(opened.shown, mask, labels.class_names, labels.palette)
        )
        return Path(f"{opened.stem}{self._masks[0]}.png")

    def _write_by_windows(
        self, opened: Opened, image: Windowed, strips: Iterable[tuple[int, Float32[np.ndarray, "rows w k"]]]
    ) -> Path:
        """Masks and probabilities as they come, into TIFFs alone, and an overlay of every so many pixels."""
        labels, (height, width, _) = self._labels, image.shape
        place = place_of(opened.file)
        tags = {} if place is None else place.tags
        paths, small = [Path(f"{opened.stem}{name}.tif") for name in self._masks], []
        named = labels.class_names if labels.overlap else ["class"]
        with ExitStack() as stack:
            adds = [
                stack.enter_context(tiff_writer(path, (height, width, 1), [name], tags, labels.mask_type))
                for path, name in zip(paths, named, strict=True)
            ]
            shares: Add | None = None
            if self._probabilities is not None:
                of_shares, shape = Path(f"{opened.stem}{_SHARES}"), (height, width, len(labels.class_names))
                shares = stack.enter_context(tiff_writer(of_shares, shape, labels.class_names, tags))
            for row, strip in strips:
                mask, strip = labels.decided(strip, image.missing(row, len(strip)))
                for label, add in enumerate(adds):
                    add(row, mask[..., label, None] if labels.overlap else mask[..., None])
                if shares is not None:
                    shares(row, strip)
                small.append(mask[-row % image.step :: image.step, :: image.step].copy())
                opened.advance(len(strip) / height)
        of_all = paths if self._probabilities is None else [*paths, Path(f"{opened.stem}{_SHARES}")]
        for path in of_all:
            if place is not None:
                _write_system(path, place)
        overlay = draw_overlay(opened.shown, np.concatenate(small), labels.class_names, labels.palette)
        write_image(Path(f"{opened.stem}_overlay.png"), overlay)
        return paths[0]

    def _writers(
        self, stem: Path, shape: tuple[int, int, int], place: Place | None
    ) -> list[AbstractContextManager[Add]]:
        if self._probabilities is None:
            return []
        paths = [Path(f"{stem}{ending}") for ending in self._shares]
        one = npy_writer(paths[0], shape) if self._probabilities == "npy" else png_writer(paths, shape)
        writers: list[AbstractContextManager[Add]] = [one]
        if place is not None:
            of_shares = Path(f"{stem}{_SHARES}")
            writers.append(tiff_writer(of_shares, shape, self._labels.class_names, place.tags))
        return writers


def _write_mask(stem: str, mask: Image.Image, place: Place | None, nodata: int) -> None:
    write_image(Path(f"{stem}.png"), mask)
    if place is not None:
        tags = place.tiff_tags(nodata=str(nodata))
        write_image(Path(f"{stem}.tif"), mask, tiffinfo=tags, compression="tiff_deflate")
        _write_system(Path(f"{stem}.tif"), place)


def _write_system(path: Path, place: Place) -> None:
    """Write beside a TIFF what its tags do not say of its reference system."""
    if system := place.aux_xml():
        with replacing(path.with_name(f"{path.name}.aux.xml")) as file:
            file.write(system)


def _in_file_name(class_name: str) -> str:
    return re.sub(r"\W+", "_", class_name)[:40]
