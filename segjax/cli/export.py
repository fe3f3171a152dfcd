"""`segjax export`: a model as one file for another runtime."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from segjax.cli.process import prepare
from segjax.cli.say import say_unfinished
from segjax.errors import ExportError
from segjax.strict_json import as_json

if TYPE_CHECKING:
    from segjax.export import Calibration
    from segjax.models import About
    from segjax.tasks import Task
    from segjax.train import Experiment

_LOOKED_AT = 3
"""Images of the test split that an export is compared on."""
_CALIBRATED_ON = 64
"""Images of the training split, at most, that ranges of 8 bits are had from."""


def export(parsed: argparse.Namespace, _: list[str]) -> int:
    """`segjax export RUN --format FORMAT --out FILE`: write it, if it gives there what the model gives."""
    prepare()
    from segjax.cli.compilation_cache import keep_compiled_programs
    from segjax.data.padding import side_for
    from segjax.export import export_model

    keep_compiled_programs()
    opened = _opened(parsed)
    height, width = opened.images[0].shape[:2]
    size = None if parsed.dynamic else tuple(parsed.size or (side_for(height), side_for(width)))
    if parsed.format == "html":
        return _page(parsed, opened, size)
    written = export_model(
        opened.model,
        opened.variables,
        parsed.out,
        parsed.format,
        opened.images,
        size=size,  # type: ignore[arg-type]  (argparse has seen to two of them)
        argmax=parsed.argmax,
        max_boxes=parsed.max_boxes,
        thresholds=opened.about.thresholds or None,
        about=opened.about,
        dtype=parsed.dtype,
        calibration=_calibration(parsed, opened) if parsed.int8 else None,
    )
    if parsed.json:
        print(as_json({"file": parsed.out, "bytes": written.bytes} | written.metadata, indent=2))
        return 0
    check, shape = written.metadata["check"], " ".join(map(str, written.metadata["input"]["shape"]))
    allowed = "" if check["tolerance"] is None else f", of {check['tolerance']:.0e} allowed"
    print(f"{parsed.out}: {written.bytes:,} bytes, images ({shape}) of {written.metadata['input']['type']}")
    print(f"  gives    {', '.join(written.metadata['outputs'])}")
    print(
        f"  checked  in {check['runtime']} on {check['images']} images: the largest difference from the model is "
        f"{check['largest_difference']:.1e}{allowed}"
    )
    if "int8" in written.metadata:
        eight = written.metadata["int8"]
        print(
            f"  in 8 bits, calibrated on {eight['calibrated_on']}: {eight['score']} on val {eight['int8']:.4f} instead "
            f"of {eight['model']:.4f}: {eight['lost']:.4f} lost, of {eight['lost_at_most']} allowed"
        )
    return 0


def _page(parsed: argparse.Namespace, opened: "_Opened", size: Any) -> int:
    """Write a folder with a page of the model."""
    from segjax.data.padding import side_for
    from segjax.export import export_page
    from segjax.tasks import Options

    if size is None:
        raise ExportError("A page shows its model images of one size: leave --dynamic out, or say --size HEIGHT WIDTH.")
    if parsed.int8 or parsed.dtype != "float32":
        raise ExportError("A page has its model in float32: leave --int8 and --dtype out.")
    tells = opened.task.predictions.tells
    if tells.bands is not None and tells.bands.chosen not in (None, (1, 2, 3)):
        bands = " ".join(map(str, tells.bands.chosen))
        raise ExportError(
            f"A browser has red, green and blue, and {parsed.run} sees bands {bands} of its images: serve it with "
            "`segjax serve`."
        )
    if tells.bands is not None and tells.bands.channels:
        raise ExportError(
            f"A browser has one file of an image, and {parsed.run} reads {len(tells.bands.channels)}, one for each "
            "channel: predict them with `segjax predict`."
        )
    if tells.size is not None:
        size = side_for(tells.size[0]), side_for(tells.size[1])  # as it is seen when it is scored
    shown = {"name": Path(parsed.run).name or parsed.run, "score": Options().least, **tells.described()}
    written = export_page(
        opened.model,
        opened.variables,
        parsed.out,
        opened.images,
        size=size,
        shown=shown,
        max_boxes=parsed.max_boxes,
        thresholds=opened.about.thresholds or None,
        about=opened.about,
    )
    if parsed.json:
        print(as_json({"folder": parsed.out, "bytes": written.bytes} | written.metadata, indent=2))
        return 0
    print(f"{parsed.out}: a page, and its model of {written.bytes:,} bytes")
    print(f"  look at it  python -m http.server --directory {parsed.out}, then http://localhost:8000")
    return 0


class _Opened(NamedTuple):
    """What is exported, and what it is compared on."""

    task: "Task"
    model: Any
    variables: Any
    about: "About"
    images: list[Any]
    experiment: "Experiment | None" = None
    """Of a run."""


def _opened(parsed: argparse.Namespace) -> _Opened:
    from segjax.runs.load import load_experiment
    from segjax.runs.saved import about_run, is_saved, open_predictor, thresholds_of

    if is_saved(parsed.run):
        if not parsed.images:
            raise ExportError("A saved model has no images to be compared on: name some of yours, --images FILE ...")
        saved = open_predictor(parsed.run, parsed.checkpoint)
        return _Opened(*saved, _read(parsed.images, saved.task))
    experiment, variables = load_experiment(parsed.run, parsed.checkpoint)
    say_unfinished(parsed.run)
    task = experiment.task_of_data
    if parsed.images:
        images = _read(parsed.images, task)
    else:
        source = task.seen(experiment.data.open("test"))
        images = [source[i]["image"] for i in range(min(_LOOKED_AT, len(source)))]
    about = dataclasses.replace(about_run(Path(parsed.run)), thresholds=thresholds_of(task))  # of that checkpoint
    return _Opened(task, experiment.model, variables, about, images, experiment)


def _read(paths: Sequence[str], task: "Task") -> list[Any]:
    """Image files as the model sees those of its data set: in its bands, and in its size where that is one alone."""
    from segjax.data.formats.images import read_image
    from segjax.data.record import Record

    bands = task.predictions.tells.bands
    each = [Record(image=read_image(path) if bands is None else bands.read(path).pixels) for path in paths]
    seen = task.seen(each)
    return [seen[i]["image"] for i in range(len(seen))]


def _calibration(parsed: argparse.Namespace, opened: _Opened) -> "Calibration":
    """The run's training split, and its task's score on the validation split."""
    from segjax.export import Calibration
    from segjax.runs.load import score

    experiment = opened.experiment
    if experiment is None:
        raise ExportError(
            f"--int8 is calibrated on the training split of a run and judged on its val, which {parsed.run} has not: "
            "name a run."
        )
    task = experiment.task_of_data
    source = task.seen(experiment.data.open("train"))
    step = max(1, len(source) // _CALIBRATED_ON)  # from all of it
    images = [source[i]["image"] for i in range(0, len(source), step)][:_CALIBRATED_ON]
    return Calibration(
        images, lambda model, variables: score(experiment, model, variables, "val")[task.headline], task.headline
    )
