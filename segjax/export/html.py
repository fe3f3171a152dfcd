"""A model as a page for the browser: a folder that any server of files gives out, and nothing from elsewhere."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Num

from segjax.errors import ExportError
from segjax.export.exporting import Exported, export_model
from segjax.export.onnx_web import runtime_files
from segjax.export.program import program_of
from segjax.models.card import About
from segjax.page import page

MODEL = "model.onnx"


def export_page(
    model: nn.Module,
    variables: Mapping[str, Any],
    folder: str | Path,
    images: Sequence[Num[np.ndarray, "h w c"]],
    *,
    size: tuple[int, int],
    shown: Mapping[str, Any],
    max_boxes: int = 100,
    thresholds: Sequence[float] | None = None,
    about: About = About(),
) -> Exported:
    """Writes a page that runs the model in the browser: index.html, model.onnx and ONNX Runtime's files beside them.

    Whoever opens it drops an image or takes the camera, and sees what `segjax predict` would find: pixel by pixel where
    `segjax.data.padding.padded` brings the image to `size`; a larger image is shrunk first.

    Args:
        model: As `segjax.load` or `segjax.from_pretrained` gives it, for images of three channels of uint8.
        variables: Its own.
        folder: Made where it is missing; files of these names in it are replaced.
        images: Real ones, that the ONNX file is compared on with the model, as by `export_model`.
        size: Height and width that the model sees.
        shown: What the page says: `name`, `score` (the least that a box is shown with), and `pixels`, `objects` and
            `fitted` as `segjax.inference.Tells.described` has them.
        max_boxes: How many boxes of an image at most.
        thresholds: As for `export_model`.
        about: Of the model.

    Returns:
        The ONNX file in the folder, with its metadata.

    Raises:
        ExportError: as `export_model`; images of other numbers or channels, or a folder that cannot be written.
        DataError: ONNX Runtime's files cannot be had.
    """
    folder = Path(folder)
    program = program_of(model, variables, size, max_boxes=max_boxes, thresholds=thresholds)
    if (program.stored, program.channels) != ("uint8", 3):
        raise ExportError(
            f"A browser shows three channels of uint8, and the model takes {program.channels} of {program.stored}: "
            "serve it with `segjax serve`."
        )
    files = runtime_files()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as name:
            aside = Path(name)
            written = export_model(
                model,
                variables,
                aside / MODEL,
                "onnx",
                images,
                size=size,
                argmax="probabilities" in program.outputs(),
                max_boxes=max_boxes,
                thresholds=thresholds,
                about=about,
            )
            said = {"licence": about.licence, "trained_on": about.trained_on, **shown, "seen": list(size)}
            (aside / "index.html").write_text(page(said, "onnx"), encoding="utf-8")
            for file in files:  # not every server knows what .mjs is, and then browsers refuse it
                shutil.copyfile(file, aside / file.name.replace(".mjs", ".js"))
            for file in sorted(aside.iterdir()):
                file.replace(folder / file.name)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written ({error.strerror}): choose another place.") from error
    return Exported(folder / MODEL, written.difference, written.metadata)
