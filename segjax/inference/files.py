"""Prediction of picture files."""

import os
import re
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Float32
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from segjax.data.formats.images import read_image, shown
from segjax.drawing import Palette, draw_overlay
from segjax.errors import DataError, InferenceError
from segjax.inference.image_files import find_pictures, name_results
from segjax.inference.outputs import Add, georeference, indexed, npy_writer, png_writer, write_picture
from segjax.inference.prediction import Variables, most_probable, predict_strips


@dataclass(frozen=True)
class Summary:
    """What became of the pictures."""

    done: tuple[Path, ...]
    """The masks that were written."""
    failed: tuple[str, ...]
    """One sentence for each path that was not there or could not be read."""
    seconds: float
    """Reading, predicting and writing together."""


def predict_files(
    model: nn.Module,
    variables: Variables,
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    class_names: Sequence[str],
    palette: Palette,
    tile: int | None = None,
    margin: int | None = None,
    tta: Sequence[str | float] = (),
    probabilities: Literal["npy", "png"] | None = None,
) -> Summary:
    """Label every pixel of picture files of any size and mode, and write what came of it below the folder `out`.

    For a picture called a.jpg, with the path that it has below the folder or glob it was found by:
    `a.png`, a palette picture whose pixels are the classes; `a_overlay.png`, the picture with the classes laid over it
    and a legend; where it is a GeoTIFF, `a.tif`, the mask again with the tags that place it on earth; with
    `probabilities="npy"`, `a_probabilities.npy` (h w k float32); with `"png"`, `a_<number>_<class>.png` for each class,
    grey and 16 bits deep, in which 65535 is one. All of them show the picture upright, as its EXIF orientation says.

    A picture that cannot be read is named on stderr and left out; the summary has it among the failed. A result is
    whole or not there, even when the process is killed; earlier results of the same name are replaced. The first
    picture of every new size takes about a second more, in which the model is compiled for it.

    Args:
        model: takes RGB images (n h w 3), uint8.
        variables: what `model.apply` takes, as `segjax.load` gives them.
        paths: files, folders (with their subfolders) and globs (`**` for any number of folders).
        out: made where it is missing.
        class_names: of every class that the model tells.
        palette: the colour (red, green, blue in 0..255) of every class.
        tile: as in `predict`; so are `margin` and `tta`.
        probabilities: whether to write those, too.

    Raises:
        InferenceError: as `predict`; a result that would overwrite one of the pictures, or cannot be written; class
            names that are not as many as the model's classes.
    """
    begin = time.monotonic()
    variables = jax.device_put(variables)
    strips = partial(predict_strips, model, variables, tile=tile, margin=margin, tta=tta)
    endings = [f"_{number}_{_in_file_name(name)}.png" for number, name in enumerate(class_names)]
    if probabilities != "png":
        endings = ["_probabilities.npy"]
    pictures, failed = find_pictures(paths)
    stems = name_results(pictures, [".png", "_overlay.png", ".tif", *endings], Path(out))
    done = []
    with Progress(*COLUMNS, console=Console(stderr=True)) as progress:
        for problem in failed:
            say(progress, problem)
        bar = progress.add_task("", total=len(pictures))
        for number, (picture, stem) in enumerate(zip(pictures, stems, strict=True), start=1):
            results = [Path(f"{stem}{ending}") for ending in (".png", "_overlay.png", ".tif", *endings)]
            try:
                image = read_image(picture.file)
                height, width, _ = image.shape
                mask = np.empty((height, width), np.uint8)
                with _probability_writer(probabilities, results[3:], (height, width, len(class_names))) as add:
                    for row, strip in strips(image):
                        _check_classes(strip, class_names)
                        mask[row : row + len(strip)] = most_probable(strip)
                        add(row, strip)
                        progress.advance(bar, len(strip) / height)
                write_picture(results[0], indexed(mask, palette))
                write_picture(results[1], draw_overlay(image, mask, class_names, palette))
                if tags := georeference(picture.file):
                    write_picture(results[2], indexed(mask, palette), tiffinfo=tags, compression="tiff_deflate")
                done.append(results[0])
            except DataError as error:
                failed.append(str(error))
                say(progress, failed[-1])
            except OSError as error:
                raise InferenceError(
                    f"the results of {shown(picture.file)} cannot be written to {shown(results[0].parent)} "
                    f"({error.strerror or error}): make room there, or give --out a folder of yours. "
                    f"{len(done)} of {len(pictures)} pictures are done."
                ) from error
            progress.update(bar, completed=number)
    return Summary(tuple(done), tuple(failed), time.monotonic() - begin)


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed:.3g} images/s" if task.elapsed else "")


COLUMNS = (BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn(elapsed_when_finished=True))
"""Of the bar that shows how far a prediction has come."""


def say(progress: Progress, sentence: str) -> None:
    """Print a sentence above the bar."""
    progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _in_file_name(class_name: str) -> str:
    return re.sub(r"\W+", "_", class_name)[:40]


def _check_classes(probabilities: Float32[np.ndarray, "rows w k"], class_names: Sequence[str]) -> None:
    if probabilities.shape[-1] != len(class_names):
        raise InferenceError(
            f"the model tells {probabilities.shape[-1]} classes, but class_names has {len(class_names)}: "
            "give the names that it was trained with."
        )


def _probability_writer(
    kind: Literal["npy", "png"] | None, paths: Sequence[Path], shape: tuple[int, int, int]
) -> AbstractContextManager[Add]:
    if kind is None:
        return nullcontext(lambda row, strip: None)
    return npy_writer(paths[0], shape) if kind == "npy" else png_writer(paths, shape)
