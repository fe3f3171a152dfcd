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

from segjax.data.formats.bands import Bands
from segjax.drawing import Palette, draw_overlay
from segjax.errors import InferenceError
from segjax.inference.files import Opened, Summary, for_each_image
from segjax.inference.georeference import NODATA, Place, place_of
from segjax.inference.outputs import Add, indexed, npy_writer, png_writer, replacing, write_image
from segjax.inference.prediction import Variables, most_probable, predict_strips
from segjax.inference.tiff_file import tiff_writer
from segjax.inference.tiling import Tiling

Probabilities = Literal["npy", "png"]
"""How class probabilities are written."""


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

    Raises:
        InferenceError: as `predict`; a result that would overwrite one of the image files, or cannot be written; class
            names that are not as many as the model's classes.
    """
    variables = jax.device_put(variables)
    results = MaskResults(class_names, palette, probabilities)

    def write(opened: Opened) -> Path:
        return results.write(opened, predict_strips(model, variables, opened.image, tiling=tiling))

    return for_each_image(write, paths, out, results.endings, bands)


class MaskResults:
    """What is written for the mask of each image file.

    For a file called a.jpg, with the path that it has below the folder or glob it was found by:
    `a.png`, a palette image whose pixels are the classes; `a_overlay.png`, the image with the classes laid over it
    and a legend; where tags, a world file or GDAL's .aux.xml place it on earth, `a.tif`, the mask again with the tags
    that place it; with `probabilities="npy"`, `a_probabilities.npy` (h w k float32); with `"png"`,
    `a_<number>_<class>.png` for each class, grey and 16 bits deep, in which 65535 is one; with either of an image that
    is placed, `a_probabilities.tif` of float32, a band for each class. All of them show the image upright, as its EXIF
    orientation says. Where the image has no data, a mask is 255, and says so; probabilities are NaN, and 0 in PNG.
    """

    def __init__(
        self, class_names: Sequence[str], palette: Palette, probabilities: Probabilities | None = None
    ) -> None:
        self._class_names, self._palette, self._probabilities = class_names, palette, probabilities
        of_classes = [f"_{number}_{_in_file_name(name)}.png" for number, name in enumerate(class_names)]
        others = of_classes if probabilities == "png" else ["_probabilities.npy"]
        self.endings = (".png", "_overlay.png", ".tif", ".tif.aux.xml", "_probabilities.tif", *others)
        """Of the names of all results that a file can have."""

    def write(self, opened: Opened, strips: Iterable[tuple[int, Float32[np.ndarray, "rows w k"]]]) -> Path:
        """Write the results of an image from its probabilities, as `predict_strips` gives them; returns the mask's.

        Raises:
            InferenceError: probabilities of more or fewer classes than have names.
        """
        height, width, _ = opened.image.shape
        of_mask, of_overlay, of_tiff, of_system, of_shares, *others = (
            Path(f"{opened.stem}{ending}") for ending in self.endings
        )
        place = place_of(opened.file)
        mask = np.empty((height, width), np.uint8)
        with ExitStack() as stack:
            writers = self._writers(others, of_shares, (height, width, len(self._class_names)), place)
            adds = [stack.enter_context(writer) for writer in writers]
            for row, strip in strips:
                self._check_classes(strip.shape[-1])
                mask[row : row + len(strip)] = most_probable(strip)
                if opened.missing is not None:
                    gone = opened.missing[row : row + len(strip)]
                    mask[row : row + len(strip)][gone] = NODATA
                    strip = np.where(gone[..., None], np.float32(np.nan), strip)
                for add in adds:
                    add(row, strip)
                opened.advance(len(strip) / height)
        write_image(of_mask, indexed(mask, self._palette))
        write_image(of_overlay, draw_overlay(opened.shown, mask, self._class_names, self._palette))
        if place is not None:
            tags = place.tiff_tags(nodata=str(NODATA))
            write_image(of_tiff, indexed(mask, self._palette), tiffinfo=tags, compression="tiff_deflate")
            if system := place.aux_xml():
                with replacing(of_system) as file:
                    file.write(system)
        return of_mask

    def _writers(
        self, paths: Sequence[Path], of_shares: Path, shape: tuple[int, int, int], place: Place | None
    ) -> list[AbstractContextManager[Add]]:
        if self._probabilities is None:
            return []
        one = npy_writer(paths[0], shape) if self._probabilities == "npy" else png_writer(paths, shape)
        writers: list[AbstractContextManager[Add]] = [one]
        if place is not None:
            writers.append(tiff_writer(of_shares, shape, self._class_names, place.tags))
        return writers

    def _check_classes(self, classes: int) -> None:
        if classes != len(self._class_names):
            raise InferenceError(
                f"the model tells {classes} classes, but class_names has {len(self._class_names)}: "
                "give the names that it was trained with."
            )


def _in_file_name(class_name: str) -> str:
    return re.sub(r"\W+", "_", class_name)[:40]
