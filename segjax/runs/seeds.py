"""One experiment with several seeds: a folder of runs, and their scores as mean and interval."""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segjax.drawing.figures import despine, new_figure, save
from segjax.errors import ExperimentError, UserError
from segjax.runs.experiment_file import ExperimentFile
from segjax.runs.knobs import Knobs
from segjax.runs.run import default_folder, new_run, open_run, seed_folders
from segjax.train.history import validation_scores
from segjax.train.run import Run, write_json


class Interval(NamedTuple):
    """The mean of a score over seeds, and the interval that holds its expectation with 95% confidence.

    The half-width is Student's, for scores that are normal over seeds; None for a single seed. A mean over the seeds in
    which the score was defined; None where it never was.
    """

    mean: float | None
    half_width: float | None

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Interval":
        """Of one score, a value per seed."""
        from scipy.stats import t

        found = np.array([value for value in values if value is not None])
        if not found.size:
            return cls(None, None)
        if found.size == 1:
            return cls(float(found[0]), None)
        half_width = t.ppf(0.975, found.size - 1) * found.std(ddof=1) / math.sqrt(found.size)
        return cls(float(found.mean()), float(half_width))

    def __str__(self) -> str:
        if self.mean is None:
            return "undefined"
        return f"{self.mean:.3f}" + ("" if self.half_width is None else f" ± {self.half_width:.3f}")


def intervals(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The interval of every score of nested dicts of the same keys, one dict per seed."""
    return {
        name: intervals([one[name] for one in scores])
        if isinstance(value, dict)
        else Interval.of([one[name] for one in scores])
        for name, value in scores[0].items()
    }


def refuse_seed(arguments: Sequence[str], seeds: Sequence[int] | None) -> None:
    """Refuse words of a command line that say a seed beside the seeds.

    Raises:
        ExperimentError: they do.
    """
    if seeds is not None and any(word.partition("=")[0] == "--seed" for word in arguments):
        raise ExperimentError("The knob seed and --seeds say the same; leave one of them out.")


def refuse_run(folder: Path) -> None:
    """Refuse a folder for several runs that is a run itself.

    Raises:
        ExperimentError: it is.
    """
    if (folder / "run.json").exists():
        raise ExperimentError(f"{folder} is a run itself: give --out another name for a folder of several.")


def create_runs(path: Path | None, file: ExperimentFile, knobs: Knobs, seeds: Sequence[int]) -> list[Run]:
    """A new folder with a run folder `seed<n>` for each seed.

    Raises:
        ExperimentError: it has no knob named seed, a seed is there twice, or a run folder cannot be made.
        DataError: the data set cannot be used.
    """
    if "seed" not in knobs:
        raise ExperimentError(f"{file.said} has no knob named seed; give it one to train several seeds.")
    if len(set(seeds)) < len(seeds):
        raise ExperimentError(f"The seeds {', '.join(map(str, seeds))} are not different; name each once.")
    made = path or default_folder(file.name)
    refuse_run(made)
    try:
        return [new_run(made / f"seed{seed}", file, knobs | {"seed": seed}) for seed in seeds]
    except UserError:
        if path is None:
            with contextlib.suppress(OSError):  # with a run in it, it stays
                made.rmdir()
        raise


def open_runs(path: Path) -> list[Run]:
    """The run in a folder, or the runs of all seeds in it.

    Raises:
        ExperimentError: it holds none.
    """
    folders = seed_folders(path)
    if (path / "run.json").exists() or not folders:
        return [open_run(path)]
    return [open_run(folder) for folder in folders]


def report_seeds(path: Path, runs: Sequence[Run], scores: Sequence[dict[str, Any]], headline: str) -> dict[str, Any]:
    """Write report.json and curves.png over all seeds, and return the interval of every score on the test split."""
    found = intervals(scores)
    report = {"seeds": [run.configuration()["knobs"]["seed"] for run in runs], "test": as_json(found)}
    write_json(path, "report.json", report)
    figure = new_figure(6, 3.6, constrained=True)
    axes = figure.subplots()
    curves = [validation_scores(run.metrics(), headline) for run in runs]
    steps = sorted({step for curve in curves for step in curve})  # patience ends some before others
    over_seeds = [Interval.of([curve[step] for curve in curves if step in curve]) for step in steps]
    mean = np.array([np.nan if one.mean is None else one.mean for one in over_seeds])
    width = np.array([one.half_width or 0.0 for one in over_seeds])
    for curve in curves:
        values = [np.nan if value is None else value for value in curve.values()]
        axes.plot(list(curve), values, color="#bbbbbb", linewidth=0.8)
    axes.fill_between(steps, mean - width, mean + width, color="#c0392b", alpha=0.15, linewidth=0)
    axes.plot(steps, mean, color="#c0392b", marker="o", markersize=3)
    axes.set_title(
        f"validation {headline}, {found[headline]} in the test: mean of {len(runs)} seeds, 95% interval", fontsize=10
    )
    axes.set_xlabel("step")
    despine(axes)
    axes.grid(alpha=0.25)
    save(figure, path, "curves.png")
    return found


def as_json(found: dict[str, Any]) -> dict[str, Any]:
    """Intervals as objects with their two numbers by name."""
    return {name: as_json(one) if isinstance(one, dict) else one._asdict() for name, one in found.items()}
