"""A model written in another format, after it was compared with the model on images in the runtime it is for."""

import importlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Num

from segjax import __version__
from segjax.errors import ExportError
from segjax.export.compare import largest_difference
from segjax.export.metadata import with_archive
from segjax.export.program import WHAT, Program, program_of
from segjax.layers import inputs_of
from segjax.models.card import About
from segjax.strict_json import as_json

Format = Literal["stablehlo", "onnx", "tflite"]
TOLERANCE = 1e-4
"""The largest difference in probability, or for boxes in sides of the image, that an export may have."""
RUNTIMES = {"stablehlo": "jax in a process of its own", "onnx": "ONNX Runtime", "tflite": "LiteRT"}


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    difference: float
    """The largest on any image, as `segjax.export.compare` counts it."""
    metadata: dict[str, Any]

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return self.path.stat().st_size


def export_model(
    model: nn.Module,
    variables: Mapping[str, Any],
    path: str | Path,
    format: Format,
    images: Sequence[Num[np.ndarray, "h w c"]],
    *,
    size: tuple[int, int] | None,
    argmax: bool = False,
    max_boxes: int = 100,
    thresholds: Sequence[float] | None = None,
    about: About = About(),
) -> Exported:
    """Writes a model, with its normalisation, as one file for another runtime, if it gives the same there.

        export_model(model, variables, "model.onnx", "onnx", photos, size=(512, 512))

    The file takes images (n h w c) as they are stored and gives probabilities (n h w k), a mask (n h w) or boxes with
    labels and scores. The batch is of any number, in TFLite of one.

    Args:
        model: As `segjax.load` or `segjax.from_pretrained` gives it.
        variables: Its own.
        path: The file; what is there is replaced.
        format: Of the file.
        images: Real ones, that the file is compared on with the model; cut to `size`, or filled up to it.
        size: Height and width of the images; None for any, which StableHLO alone takes.
        argmax: Whether the file gives the class of every pixel instead of the probabilities of all.
        max_boxes: How many boxes of an image at most.
        thresholds: One for each logit, where each is of a label by its sigmoid; None where they are of classes.
        about: Names and colours of the classes and the licence, which the file says, too.

    Raises:
        ExportError: the model or a part of it cannot be brought into the format, or gives other numbers there: nothing
            is written then, and the sentence says why.
        DataError: the variables are not the model's.
    """
    if format not in get_args(Format):
        raise ExportError(f"{format} is no format; name one of {', '.join(get_args(Format))}.")
    if size is None and format != "stablehlo":
        raise ExportError(f"{format} takes images of one size alone: say --size HEIGHT WIDTH.")
    path = Path(path)
    settings: dict[str, Any] = {"max_boxes": max_boxes, "thresholds": thresholds}
    program = program_of(model, variables, size, argmax=argmax, **settings)
    reference = program_of(model, variables, size, **settings)
    batches = _batches(images, program)
    way = importlib.import_module(f"segjax.export.{format}")
    written = way.convert(program)
    difference = _difference(written, path.suffix, way.outputs_of, reference, batches, thresholds)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The {format} file gives other numbers than the model in {RUNTIMES[format]}: they differ by "
            f"{difference:.1e}, and {TOLERANCE:.0e} is allowed; nothing was written."
        )
    metadata = _as_read(
        _metadata(program, model, about, thresholds)
        | {
            "check": {
                "runtime": RUNTIMES[format],
                "images": sum(map(len, batches)),
                "largest_difference": difference,
                "tolerance": TOLERANCE,
            }
        }
    )
    attach: Callable[[bytes, dict[str, Any]], bytes] = getattr(way, "with_metadata", with_archive)
    _replace(path, attach(written, metadata))
    return Exported(path, difference, metadata)


def _batches(images: Sequence[np.ndarray], program: Program) -> list[np.ndarray]:
    """The images in the program's size, in one batch; or each in its own size, up to multiples of 32."""
    if not images:
        raise ExportError("An export is compared with the model on real images: give at least one.")
    for image in images:
        if image.ndim != 3 or image.shape[2] != program.channels or image.dtype != program.stored:
            raise ExportError(
                f"The model takes images (h, w, {program.channels}) of {program.stored}, and one to compare on is "
                f"{image.shape} of {image.dtype}: give such as it was trained on."
            )
    if program.size is None:
        return [
            _fitted(image, (-(-image.shape[0] // 32) * 32, -(-image.shape[1] // 32) * 32))[None] for image in images
        ]
    return [np.stack([_fitted(image, program.size) for image in images])]


def _fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of the image, its edge repeated where it is smaller."""
    for axis, length in enumerate(size):
        start = max(0, image.shape[axis] - length) // 2
        image = np.take(image, range(start, min(start + length, image.shape[axis])), axis)
    return np.pad(image, [*((0, length - own) for length, own in zip(size, image.shape, strict=False)), (0, 0)], "edge")


def _difference(
    written: bytes,
    suffix: str,
    outputs_of: Callable[[str, np.ndarray], dict[str, np.ndarray]],
    reference: Program,
    batches: Sequence[np.ndarray],
    thresholds: Sequence[float] | None,
) -> float:
    """The largest over all batches of what a file with these bytes gives."""
    run = jax.jit(reference.run)
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="segjax-export-") as folder:
        file = Path(folder) / f"model{suffix}"
        file.write_bytes(written)
        for images in batches:
            expected = {name: np.asarray(value) for name, value in run(images).items()}
            found = outputs_of(str(file), images)
            worst = max(worst, largest_difference(expected, found, images.shape[1:3], thresholds))
    return worst


def _metadata(program: Program, model: nn.Module, about: About, thresholds: Sequence[float] | None) -> dict[str, Any]:
    height, width = program.size or ("any", "any")
    outputs = {
        name: {"type": str(like.dtype), "shape": ["n", *like.shape[1:]], "what": WHAT[name]}
        for name, like in program.outputs().items()
    }
    if program.size is None:
        for name in {"probabilities", "mask"} & outputs.keys():
            outputs[name]["shape"][1:3] = ["any", "any"]
    return {
        "made_by": f"segjax {__version__}",
        "input": {
            "name": "image",
            "type": program.stored,
            "shape": ["n", height, width, program.channels],
            "normalised_inside": inputs_of(model),
        },
        "outputs": outputs,
        **about.classes(),
        "thresholds": None if thresholds is None else list(thresholds),
        "licence": about.licence,
        "trained_on": about.trained_on,
    }


def _as_read(metadata: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back, with lists for tuples."""
    return json.loads(as_json(metadata))


def _replace(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
            aside = Path(folder) / path.name
            aside.write_bytes(content)
            aside.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror}): choose another place.") from error
