"""report.html: a page of one run, and one of several side by side."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segjax.data import Dataset
from segjax.metrics import expected_calibration_error
from segjax.report import charts
from segjax.report.charts import Chart, Line
from segjax.report.folder import RunFiles, keep_examined, read_run, scalars
from segjax.report.pictures import EXACT, data_uri
from segjax.report.words import called, duration, number, quantity, score, shown
from segjax.tasks.examined import Examined, Example
from segjax.whole import write_whole

if TYPE_CHECKING:
    import jinja2

_SPLITS = {
    "train": ("training", "var(--muted)"),
    "val": ("validation", "var(--val)"),
    "ema": ("averaged weights", "var(--ema)"),
    "test": ("test", "var(--test)"),
}
"""What is called how in a legend, and its colour."""
_COLOURS = [f"var(--line-{i})" for i in range(8)]
"""Of what has no colour of its own."""
_PANELS = 4
"""Scores that have a chart each."""
_MATRIX = 30
"""Classes of which a confusion matrix is still looked at; of more, the commonest mistakes alone."""
_MISTAKES = 5


def write_report(folder: Path, headline: str, data: Dataset, examined: Examined | None) -> None:
    """Write report.html of the finished run in a folder, and what it needs to be written again.

    Args:
        folder: The run folder, which is read.
        headline: The score that says most.
        data: The data set of the run.
        examined: What its task saw of the test split, where it looks.
    """
    if examined is None:
        return write_run_page(folder)
    keep_examined(folder, headline, data, examined)
    return write_run_page(folder, examined.worst, examined.median)


def write_run_page(
    folder: Path, worst: Sequence[Example] = (), median: Sequence[Example] = (), note: str | None = None
) -> None:
    """Write report.html from what a run folder holds, some examples, and a note that says what is left out."""
    run = read_run(folder)
    examples = [_example(one) for one in (*worst, *median)]
    page = _environment().get_template("run.html").render(
        run=run,
        note=note,
        headline=run.report["test"].get(run.headline),
        splits={called(split): scalars(run.report[split]) for split in ("test", "val", "ema") if split in run.report},
        charts=_curves(run),
        tables=_tables(run.report["test"]),
        confusion=_confusion(run),
        checks=_checks(run),
        examples={"The worst": examples[: len(worst)], "In the middle": examples[len(worst) :]},
        cost=_cost(run.report),
        knobs=[{"name": name, "value": value, "default": _default(run, name)} for name, value in run.knobs.items()],
    )  # fmt: skip
    write_whole(folder / "report.html", page)


def write_runs_page(
    out: Path, groups: Mapping[str, Sequence[RunFiles]], intervals: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write a page of several runs side by side.

    Args:
        out: The file.
        groups: Runs that differ in their seed alone, by what they are called.
        intervals: For each group its scores on the test split, over its seeds where there are several, to be shown as
            text.
    """
    first = {name: runs[0] for name, runs in groups.items()}
    told_by = [knob for knob in _differing([*first.values()]) if knob != "seed"]
    page = _environment().get_template("runs.html").render(
        groups=groups,
        several=any(len(runs) > 1 for runs in groups.values()),
        knobs={name: {knob: run.knobs.get(knob, "–") for knob in told_by} for name, run in first.items()},
        intervals={name: scalars(scores) for name, scores in intervals.items()},
        scores=list(dict.fromkeys(name for scores in intervals.values() for name in scalars(scores))),
        tables=_tables_of_groups(intervals),
        charts=_curves_of_groups(groups),
        costs={name: _cost(run.report) for name, run in first.items()},
    )  # fmt: skip
    write_whole(out, page)


def _example(one: Example) -> dict[str, Any]:
    layers = {name: data_uri(image) for name, image in one.layers.items()}
    small = all(max(image.shape) <= EXACT for image in one.layers.values())
    return {"name": one.name, "caption": one.caption, "layers": layers, "small": small}


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # a twentieth of the time that a command needs to start

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segjax.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["zip"] = zip
    environment.filters |= {"called": called, "score": score, "shown": shown}
    return environment


def _default(run: RunFiles, knob: str) -> dict[str, Any] | None:
    """What a knob is unless it is said, where it was: nothing where it is that, or nobody knows."""
    defaults = run.configuration.get("defaults", {})
    return {"value": defaults[knob]} if knob in defaults and defaults[knob] != run.knobs[knob] else None


def _points(rows: Iterable[Mapping[str, Any]], split: str, *names: str) -> list[tuple[float, float | None]]:
    """The steps and values of a score, or of that of one class."""
    found = []
    for row in rows:
        value = row.get(split)
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        if split in row and names[0] in row[split]:
            found.append((row["step"], value))
    return found


def _curves(run: RunFiles) -> list[Chart]:
    """The loss, the scores that say most, and the first score that every class has."""
    steps = (0.0, float(max((row["step"] for row in run.rows), default=1)))
    loss = Line("training", _points(run.rows, "train", "loss"), "var(--val)")
    made = [charts.curves("Training loss", [loss], x_label="step", y_label="loss", x=steps)]
    names = scalars(run.report["test"])
    for name in sorted(names, key=lambda name: name != run.headline)[:_PANELS]:
        lines = [
            Line(label, points, colour, dots=split != "train")
            for split, (label, colour) in _SPLITS.items()
            if (points := _points(run.rows, split, name))
        ]
        made.append(charts.curves(called(name), lines, x_label="step", y_label=called(name), x=steps, y=(0, 1)))
    by_class = next(((name, value) for name, value in run.report["test"].items() if isinstance(value, dict)), None)
    if by_class is not None and len(by_class[1]) <= _MATRIX:
        name, classes = by_class
        split = "val" if any("val" in row for row in run.rows) else "test"
        lines = [
            Line(one, _points(run.rows, split, name, one), _colour(run, one, i), dots=True)
            for i, one in enumerate(classes)
        ]
        title = f"{called(name)} by class, {_SPLITS[split][0]}"
        made.append(charts.curves(title, lines, x_label="step", y_label=called(name), x=steps, y=(0, 1)))
    return [chart for chart in made if chart is not None]


def _colour(run: RunFiles, class_name: str, index: int) -> str:
    return run.details.get("colours", {}).get(class_name, _COLOURS[index % len(_COLOURS)])


def _tables(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scores by class, those of the same classes in one table."""
    tables: list[dict[str, Any]] = []
    for name, by_class in scores.items():
        if isinstance(by_class, dict):
            table = next((one for one in tables if one["rows"] == list(by_class)), None)
            if table is None:
                tables.append(table := {"rows": list(by_class), "columns": {}})
            table["columns"][name] = by_class
    return tables


def _confusion(run: RunFiles) -> dict[str, Any] | None:
    """The matrix as shares of each true class or attribute, and what is most often taken for what."""
    counts = run.details.get("confusion")
    if counts is None:
        return None
    attributes = run.details.get("confused")
    names = attributes or list(run.details["colours"])
    shares = [[value / sum(row) if sum(row) else None for value in row] for row in counts]
    total = sum(map(sum, counts))
    mistakes = sorted(
        ((value, i, j) for i, row in enumerate(counts) for j, value in enumerate(row) if i != j and value), reverse=True
    )
    return {
        "names": names,
        "of": "objects" if attributes else "pixels",
        "kind": "attribute" if attributes else "class",
        "shares": shares if len(names) <= _MATRIX else None,
        "mistakes": [
            {"true": names[i], "found": names[j], "share": shares[i][j], "of_all": value / total}
            for value, i, j in mistakes[:_MISTAKES]
        ],
    }


def _checks(run: RunFiles) -> list[Chart]:
    """Reliability, precision and recall, and how scores are spread over images."""
    made: list[Chart | None] = []
    if bins := run.details.get("calibration"):
        error = expected_calibration_error(bins)
        if not math.isnan(error):
            made.append(charts.reliability(f"Calibration: expected error {error:.3f}", bins, error))
    if precision := run.details.get("precision"):
        lines = [
            Line(name, [(i / 100, value) for i, value in enumerate(values)], _colour(run, name, i))
            for i, (name, values) in enumerate(precision.items())
        ]
        title = "Precision and recall of boxes, IoU 0.5"
        made.append(charts.curves(title, lines, x_label="recall", y_label="precision", x=(0, 1), y=(0, 1)))
    values = [one[run.headline] for one in run.images if one.get(run.headline) is not None]
    if values:
        title = f"{called(run.headline)} image by image"
        made.append(charts.histogram(title, values, x_label=called(run.headline), y_label="images"))
    return [chart for chart in made if chart is not None]


def _cost(report: Mapping[str, Any]) -> dict[str, str]:
    """What training took, in words."""
    known = {
        "Steps": lambda: number(report["steps"]),
        "Training": lambda: duration(report["train_seconds"]),
        "Compiling": lambda: duration(report["compile_seconds"]),
        "Speed": lambda: f"{report['images_per_second']:.1f} images/s",
        "Waiting for data": lambda: f"{report['waiting_for_data']:.1%}",
        "Device's peak rate used": lambda: f"{report['model_flops_utilisation']:.1%}",
        "Work of a step": lambda: quantity(report["flops_per_step"], "FLOP", 1000),
        "Peak memory of a step": lambda: quantity(report["peak_bytes"], "B", 1024),
        "Parameters": lambda: number(report["parameters"]),
    }
    found = {}
    for name, said in known.items():
        try:
            found[name] = said()
        except KeyError:  # what was not measured, as the speed of a run that only was scored
            continue
    return found


def _differing(runs: Sequence[RunFiles]) -> list[str]:
    names = list(dict.fromkeys(name for run in runs for name in run.knobs))
    return [name for name in names if any(run.knobs.get(name) != runs[0].knobs.get(name) for run in runs)]


def _tables_of_groups(intervals: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every score by class a table: a row for each class, a column for each group."""
    names = dict.fromkeys(
        name for scores in intervals.values() for name, one in scores.items() if isinstance(one, dict)
    )
    tables = []
    for name in names:
        columns = {group: scores.get(name, {}) for group, scores in intervals.items()}
        rows = list(dict.fromkeys(row for column in columns.values() for row in column))
        tables.append({"score": name, "rows": rows, "columns": columns})
    return tables


def _curves_of_groups(groups: Mapping[str, Sequence[RunFiles]]) -> list[Chart]:
    """The loss and the headline of every run; those of a group have one colour."""
    losses, scores = [], []
    for i, (name, runs) in enumerate(groups.items()):
        for run in runs:
            colour, split = _COLOURS[i % len(_COLOURS)], "ema" if any("ema" in row for row in run.rows) else "val"
            losses.append(Line(name, _points(run.rows, "train", "loss"), colour))
            scores.append(Line(name, _points(run.rows, split, run.headline), colour, dots=True))
    headline = called(next(iter(groups.values()))[0].headline)
    made = [
        charts.curves("Training loss", losses, x_label="step", y_label="loss"),
        charts.curves(f"{headline}, validation", scores, x_label="step", y_label=headline, y=(0, 1)),
    ]
    return [chart for chart in made if chart is not None]
