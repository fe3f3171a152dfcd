"""The scores of every image of a split, beside those of all: a table, the worst drawn, and what is taken for what."""

import csv
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flax import linen as nn

from segjax.data import Record, Source
from segjax.data.checked import checked
from segjax.drawing import draw_reliability
from segjax.errors import ExperimentError
from segjax.metrics import expected_calibration_error
from segjax.strict_json import as_json
from segjax.tasks import Segmentation
from segjax.tasks.task import Task
from segjax.train.history import flat_scores
from segjax.train.state import Variables

_DRAWN = 6


def write_per_image(
    out: Path, task: Task, model: nn.Module, variables: Variables, source: Source, measured: Sequence[Any]
) -> None:
    """Write what was measured of every record by itself into a folder.

    images.csv      a row for each image, the worst first: its name, and every score; nothing where one is undefined
    images.json     the same as a list
    worst.png       the worst of them by the headline score, as predictions.png of a run
    confusion.csv   of masks: the pixels of every true class (row) by predicted class (column)
    calibration.json, calibration.png   how often a probability is right, of pixels or objects of up to 200 images

    Args:
        out: The folder; made where it is missing.
        task: What is scored.
        model: What predicts.
        variables: Its variables.
        source: The records.
        measured: What the task measured of a batch of each record alone, in the source's order.

    Raises:
        ExperimentError: nothing can be written there.
    """
    named = checked(source).name_of
    rows = [{"name": named(index)} | task.scores([part]) for index, part in enumerate(measured)]
    scores = [row[task.headline] for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (scores[index] is None, scores[index], index))
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "images.json").write_text(as_json([rows[index] for index in order], indent=1) + "\n")
        flat = [dict(flat_scores(rows[index])) for index in order]
        # Names of files may be no text.
        with (out / "images.csv").open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            table = csv.DictWriter(
                file, ["name", task.headline, *(k for k in flat[0] if k not in ("name", task.headline))]
            )
            table.writeheader()
            table.writerows(flat)
        if isinstance(task, Segmentation):
            task.write_confusion(out, measured)
        with TemporaryDirectory(dir=out) as apart:  # from a predictions.png that is there: the folder may be the run's
            drawn = Path(apart)
            if (seen := task.draw_predictions(drawn, model, variables, source)) and "calibration" in seen.details:
                _write_calibration(out, seen.details["calibration"])
            task.draw_predictions(drawn, model, variables, _Some(source, order[:_DRAWN]))
            (drawn / "predictions.png").replace(out / "worst.png")
    except OSError as error:
        raise ExperimentError(
            f"{out} cannot be written ({error.strerror or error}): make room, or give --per-image a folder of yours."
        ) from error


def _write_calibration(out: Path, bins: Sequence[Sequence[float]]) -> None:
    """The expected calibration error, and of each bin how many pixels or objects, their mean, the share right."""
    error = expected_calibration_error(bins)
    rows = [
        {"count": int(count), "probability": total / count, "right": right / count}
        for count, total, right in bins
        if count
    ]
    text = as_json({"expected_calibration_error": error, "bins": rows}, indent=1)
    (out / "calibration.json").write_text(text + "\n")
    draw_reliability(out, bins, error)


class _Some:
    """Some records of a source."""

    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        self._source, self._numbers = source, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Record:
        return self._source[self._numbers[index]]
