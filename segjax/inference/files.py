"""Image files one after the other: read, predicted, and what came of each written below one folder."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Num, UInt8

from segjax.data.formats.bands import Bands
from segjax.data.formats.images import read_raster, shown
from segjax.data.formats.scenes import open_scene
from segjax.drawing import brightened
from segjax.errors import DataError, InferenceError
from segjax.inference.image_files import find_images, name_images, name_results
from segjax.inference.windowed import Windowed
from segjax.progress import Bar


@dataclass(frozen=True)
class Summary:
    """What became of the image files."""

    done: tuple[Path, ...]
    """The first result of each that was predicted: its mask where it has one, the image with its boxes otherwise."""
    failed: tuple[str, ...]
    """One sentence for each path that was not there or could not be read."""
    seconds: float
    """Reading, predicting and writing together."""


class Opened(NamedTuple):
    """An image file that is to be predicted now."""

    file: Path
    name: str
    """Its path below what it was found in, or below what holds all of them: different for every file."""
    stem: Path
    """What its results are called, without their endings."""
    image: "Num[np.ndarray, 'h w c'] | Windowed"
    """As the model takes it: upright, as its EXIF orientation says."""
    missing: Bool[np.ndarray, "h w"] | None
    """Where the file has no data; None where it has everywhere, and where the image is read by windows."""
    shown: UInt8[np.ndarray, "h w 3"]
    """As people look at it."""
    advance: Callable[[float], None]
    """Moves the bar on by a share of this file."""


def for_each_image(
    write: Callable[[Opened], Path],
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    endings: Sequence[str],
    bands: Bands | None = None,
    *,
    by_windows: bool = False,
    refuse: Callable[[str], object] = lambda name: None,
) -> Summary:
    """Read image files of any size and mode, and have the results of each written.

    A file that cannot be read is named on stderr and left out; the summary has it among the failed.

    Args:
        write: writes all results of a file and returns the first of them.
        paths: files, folders (with their subfolders) and globs (`**` for any number of folders).
        out: the folder of all results; below a folder or glob of `paths` it is not looked into.
        endings: of the names of all results that a file can have.
        bands: what the images must be, as `Dataset.images` has it; None takes them as they are stored.
        by_windows: whether `write` takes images larger than memory, which it is given `Windowed`.
        refuse: is asked about the name of each file before the first is read, and raises where it takes none such.

    Raises:
        InferenceError: a result that would overwrite one of the image files, or cannot be written.
    """
    begin = time.monotonic()
    images, failed = find_images(paths, Path(out))
    if bands is not None and bands.channels:  # of an image the file of its first channel stands for all
        images = [image for image in images if not image[0].stem.endswith(bands.channels[1:])]
    stems, names = name_results(images, endings, Path(out)), name_images(images)
    for name in names:
        refuse(name)
    done: list[Path] = []
    with Bar("images", len(images), sums_up=bool(images)) as bar:
        for problem in failed:
            bar.say(problem)
        for number, ((file, _), name, stem) in enumerate(zip(images, names, stems, strict=True), start=1):
            try:
                scene = open_scene(file) if by_windows and not (bands and bands.channels) else None
                if scene is not None:
                    image, missing = Windowed(scene, shown(file), bands), None
                    shown_image = image.small()
                else:
                    read = read_raster(file) if bands is None else bands.read(file)
                    image, missing = read.pixels, read.missing
                    shown_image = brightened(image) if bands is None else bands.shown(image)
                opened = Opened(file, name, stem, image, missing, shown_image, bar.advance)
                done.append(write(opened))
            except DataError as error:
                failed.append(str(error))
                bar.say(failed[-1])
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:  # which is one file's trouble, and not the folder's
                    raise InferenceError(
                        f"the results of {shown(file)} cannot be written to {shown(stem.parent)} "
                        f"({error.strerror or error}): make room there, or give --out a folder of yours. "
                        f"{len(done)} of {len(images)} images are done."
                    ) from error
                failed.append(f"{shown(file)} has too long a name for results that are called after it: shorten it.")
                bar.say(failed[-1])
            bar.reached(number)
    return Summary(tuple(done), tuple(failed), time.monotonic() - begin)
