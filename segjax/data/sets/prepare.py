"""Building a TensorFlow Datasets set of our own into the data folder, whole or not at all, without TensorFlow."""

import contextlib
import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from PIL import Image

from segjax.cache import data_dir, first_line, unwritable
from segjax.errors import DataError


def prepared(builder: type[tfds.core.GeneratorBasedBuilder], config: str, split: str) -> list[Mapping[str, Any]]:
    """All decoded examples of a split, in the set's own order; builds the set first where it is missing.

    For sets that fit into memory. To read everything at once is also the check: `array_record` and PNG carry
    checksums, so that a damaged file is found here and not in the middle of training.

    Raises:
        DataError: The set cannot be built or read; the sentence says what to do.
    """
    root = data_dir() / "tfds"
    folder = root / builder.name / config / str(builder.VERSION)
    if not folder.exists():
        try:
            _build(builder, config, root, folder)
        except (OSError, RuntimeError) as error:  # array_record's writer raises the latter
            raise unwritable(root, error) from error
    try:
        reading: Any = builder(config=config, data_dir=root)  # its decorated methods hide their arguments from types
        return list(reading.as_data_source(split))
    except Exception as error:  # whatever protobuf, json, array_record or a decoder says of a damaged file
        raise DataError(f"{folder} cannot be read ({first_line(error)}): delete it and run again.") from error


def png(pixels: UInt8[np.ndarray, "h w *c"]) -> io.BytesIO:
    """An image as the bytes of a PNG file, which need no TensorFlow to be written."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    buffer.seek(0)
    return buffer


def _build(builder: type[tfds.core.GeneratorBasedBuilder], config: str, root: Path, folder: Path) -> None:
    print(f"Building {folder.relative_to(root)} ...", file=sys.stderr, flush=True)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=".building-") as aside:
        building = builder(config=config, data_dir=aside)
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(None):  # it would announce the temporary folder
            building.download_and_prepare(
                file_format="array_record",
                download_config=tfds.download.DownloadConfig(try_download_gcs=False),
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            Path(building.data_path).rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another process was first, with the same bytes
                raise
