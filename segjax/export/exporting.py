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
from segjax.export.images import batches, fitted
from segjax.export.int8 import LARGEST_LOSS, QUANTISE, Calibration, judged
from segjax.export.metadata import with_archive
from segjax.export.program import WHAT, Program, program_of
from segjax.layers import inputs_of
from segjax.models.card import About
from segjax.models.saved import check_names
from segjax.strict_json import as_json

Format = Literal["stablehlo", "onnx", "tflite"]
Stored = Literal["float32", "float16", "bfloat16"]
TOLERANCE = 1e-4
"""The largest difference in probability, or for boxes in sides of the image, that an export may have."""
TOLERANCES: dict[Stored, float] = {"float32": TOLERANCE, "float16": 1e-2, "bfloat16": 5e-2}
"""The same by what kernels are stored in."""
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
    dtype: Stored = "float32",
    calibration: Calibration | None = None,
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
        dtype: What kernels are stored in; they are computed with in float32.
        calibration: What quantises the network to 8 bits, and judges what its score loses by that.

    Raises:
        ExportError: the model or a part of it cannot be brought into the format, or gives other numbers there: nothing
            is written then, and the sentence says why.
        DataError: the variables are not the model's, or the names not one for each of its classes.
    """
    if format not in get_args(Format):
        raise ExportError(f"{format} is no format; name one of {', '.join(get_args(Format))}.")
    if size is None and format != "stablehlo":
        raise ExportError(f"{format} takes images of one size alone: say --size HEIGHT WIDTH.")
    _refuse_numbers(format, dtype, calibration)
    path = Path(path)
    settings: dict[str, Any] = {"max_boxes": max_boxes, "thresholds": thresholds}
    way = importlib.import_module(f"segjax.export.{format}")
    shorten = getattr(way, "stored_in", None)  # where kernels come to be within the format
    program = program_of(model, variables, size, argmax=argmax, dtype="float32" if shorten else dtype, **settings)
    reference = program_of(model, variables, size, **settings)
    check_names(model, about)
    compared = batches(images, program)
    written = way.convert(program)
    if shorten and dtype != "float32":
        written = shorten(written, dtype)
    if calibration is not None:
        assert size is not None
        written = QUANTISE[format](written, [fitted(image, size)[None] for image in calibration.images])
    difference = _difference(written, path.suffix, way.outputs_of, reference, compared, thresholds)
    tolerance = None if calibration is not None else TOLERANCES[dtype]
    if tolerance is not None and not difference <= tolerance:
        raise ExportError(
            f"The {format} file gives other numbers than the model in {RUNTIMES[format]}: they differ by "
            f"{difference:.1e}, and {tolerance:.0e} is allowed; nothing was written."
        )
    check = {"runtime": RUNTIMES[format], "images": sum(map(len, compared)), "largest_difference": difference}
    numbers: dict[str, Any] = {"dtype": dtype}
    if calibration is not None:
        lost = judged(way.convert, format, model, variables, calibration)
        numbers = {"dtype": "int8", "int8": lost}
        if not lost["lost"] <= LARGEST_LOSS:
            raise ExportError(
                f"In 8 bits {lost['score']} on the validation split is {lost['int8']:.4f}, where the model has "
                f"{lost['model']:.4f}: {LARGEST_LOSS} may be lost; nothing was written."
            )
    metadata = _as_read(
        _metadata(program, model, about, thresholds) | numbers | {"check": check | {"tolerance": tolerance}}
    )
    attach: Callable[[bytes, dict[str, Any]], bytes] = getattr(way, "with_metadata", with_archive)
    _replace(path, attach(written, metadata))
    return Exported(path, difference, metadata)


def _refuse_numbers(format: Format, dtype: Stored, calibration: Calibration | None) -> None:
    if dtype not in TOLERANCES:
        raise ExportError(f"{dtype} is no type that kernels are stored in; name one of {', '.join(TOLERANCES)}.")
    if calibration is None:
        return
    if format not in QUANTISE:
        raise ExportError(f"{format} has no 8 bits here: take one of {', '.join(QUANTISE)}.")
    if dtype != "float32":
        raise ExportError(f"A file of 8 bits stores no kernels in {dtype}: choose one of both.")
    if len(calibration.images) == 0:
        raise ExportError("8 bits are calibrated on images of the training split, which has none: give at least one.")


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
