"""One experiment with every combination of some knobs' values: a folder of runs, one table and one plot."""

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segjax.drawing.figures import despine, new_figure, save
from segjax.errors import DataError, ExperimentError
from segjax.runs.experiment_file import ExperimentFile, read_experiment
from segjax.runs.knobs import Knobs, located
from segjax.runs.run import default_folder, experiment_of, new_run
from segjax.runs.seeds import Interval, as_json, create_runs, intervals, open_runs, refuse_run, refuse_seed
from segjax.train.run import Run
from segjax.whole import write_whole

_LONGEST = 200
"""Bytes of a folder's name; file systems take 255, and it is hidden and partial at first."""


@dataclass(frozen=True)
class Combination:
    """One point of a sweep: a run, or a run for each seed, in a folder of its own."""

    folder: Path
    knobs: Knobs
    varied: dict[str, str]
    """The knobs that the sweep varies, with this combination's values as they are shown."""

    @property
    def finished(self) -> bool:
        """Whether every run of it is."""
        return (self.folder / "report.json").exists()

    def __str__(self) -> str:
        return _said(self.varied)


@dataclass(frozen=True)
class Sweep:
    """What a command line asks for; nothing of it has begun."""

    file: ExperimentFile
    out: Path
    seeds: Sequence[int] | None
    combinations: list[Combination]

    @classmethod
    def plan(cls, said: str | Path, arguments: Sequence[str], out: Path | None, seeds: Sequence[int] | None) -> "Sweep":
        """Every combination of the values in `--knob a,b --other 1,2`; in `runs/<name>/<time>` where `out` is None.

        Raises:
            ExperimentError: for the first wrong value, before anything starts.
        """
        file = read_experiment(said)
        refuse_seed(arguments, seeds)
        given = _alternatives(file.types(), arguments)
        names = [name for name, values in given.items() if len(values) > 1]
        found: dict[str, tuple[Knobs, dict[str, str]]] = {}
        for chosen in itertools.product(*given.values()):
            knobs = file.knobs([token for tokens in chosen for token in tokens])
            varied = {name: _shown(knobs[name]) for name in names}
            _, other = found.setdefault(folder := _folder_name(varied), (knobs, varied))
            if other is not varied and other == varied:
                raise ExperimentError(f"The sweep has {_said(varied)} twice; name each value once.")
            if other is not varied:
                raise ExperimentError(
                    f"{_said(other)} and {_said(varied)} would have one folder, {folder}: write one of them in another "
                    "way, or leave it to a sweep of its own."
                )
        out = out or default_folder(file.name)
        refuse_run(out)
        combinations = [Combination(out / folder, *one) for folder, one in found.items()]
        return cls(file, out, seeds, combinations)

    def prepare(self) -> dict[Path, str]:
        """Make the run folders that are not there yet; returns what went wrong, by folder.

        Raises:
            ExperimentError: folders that are there belong to another sweep.
        """
        failed: dict[Path, str] = {}
        for combination in self.combinations:
            if combination.folder.exists():
                self._check_same(combination)
        for combination in self.combinations:
            try:
                self._create(combination)
            except (ExperimentError, DataError) as error:
                failed[combination.folder] = str(error)
        return failed

    def _create(self, combination: Combination) -> None:
        folder = combination.folder
        if folder.exists():
            return
        # A kill leaves all of them or none, so that `--resume` is all that a restart needs.
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        if self.seeds is None:
            new_run(partial, self.file, combination.knobs)
        else:
            create_runs(partial, self.file, combination.knobs, self.seeds)
        partial.rename(folder)

    def _check_same(self, combination: Combination) -> None:
        folder, runs = combination.folder, open_runs(combination.folder)
        asked = json.loads(json.dumps(located(combination.knobs)))
        kept = [run.configuration()["knobs"] for run in runs]
        of_seeds = [asked] if self.seeds is None else [asked | {"seed": seed} for seed in sorted(self.seeds)]
        here, now = ([one.get("seed") for one in knobs] for knobs in (kept, of_seeds))
        shown = [", ".join(map(str, seeds)) for seeds in (here, now)]
        pairs = [("seeds" if len(here + now) > 2 else "seed", *shown)]
        if here == now:
            pairs = [(name, one.get(name), asked[name]) for one in kept for name in asked if name != "seed"]
        for name, was, wanted in pairs:
            if was != wanted:
                raise ExperimentError(
                    f"{folder} was made with {name} {was}, not {wanted}; "
                    "repeat the sweep with the same values, or give --out another name."
                )
        # Or runs from before and after a change, or of two experiments, would stand in one table.
        if runs[0].experiment_file.read_bytes() != self.file.path.read_bytes():
            raise ExperimentError(
                f"{folder} was made by another experiment file than {self.file.path} is now: put back what it was, "
                f"{runs[0].experiment_file}, or give --out another name."
            )


def report(sweep: Sweep, failed: dict[Path, str]) -> str:
    """Write sweep.md, results.jsonl and sweep.png of what is finished; returns the table, which sweep.md holds."""
    rows: list[dict[str, Any]] = []
    for combination in sweep.combinations:
        row: dict[str, Any] = {"varied": combination.varied, "knobs": combination.knobs}
        if combination.finished:
            runs = open_runs(combination.folder)
            reports = [run.report() for run in runs]
            scores = [one["test"] for one in reports]
            chosen_by = [one.get("ema", one["val"]) for one in reports]
            row |= {"seeds": sweep.seeds, "scores": scores, "test": as_json(intervals(scores))}
            row |= {"val_scores": chosen_by, "val": as_json(intervals(chosen_by))}
        else:
            row["missing"] = failed.get(combination.folder, "not finished")
        rows.append(row)
    finished = [one for one in sweep.combinations if one.finished]
    headline = _headline(open_runs(finished[0].folder)[0]) if finished else ""
    table = _table(rows, headline, sweep.seeds)
    out = sweep.out
    write_whole(out / "results.jsonl", "".join(json.dumps(row, default=str) + "\n" for row in rows))
    write_whole(out / "sweep.md", f"# {sweep.file.name}: {len(finished)} of {len(rows)} combinations\n\n{table}")
    if finished:
        _draw(out, [row for row in rows if "test" in row], headline)
    return table


def _headline(run: Run) -> str:
    return experiment_of(run).task_of_data.headline


def _table(rows: Sequence[dict[str, Any]], headline: str, seeds: Sequence[int] | None) -> str:
    """A table in Markdown; the headline that is best on the validation split, which is to choose by, is bold."""
    measured = [row for row in rows if "test" in row]
    scores = measured[0]["test"] if measured else {}
    others = [name for name, one in scores.items() if "mean" in one and name != headline]
    shown = [("val", headline), ("test", headline), *(("test", name) for name in others)] if measured else []
    columns = [f"{split} {name}" for split, name in shown] or ["result"]
    names = list(rows[0]["varied"])
    found = [row["val"][headline]["mean"] for row in measured if row["val"][headline]["mean"] is not None]
    best = max(found, default=None)
    lines = [[*names, *columns], ["---"] * (len(names) + len(columns))]
    for row in rows:
        cells = list(row["varied"].values())
        if "test" in row:
            values = [Interval(**row[split][name]) for split, name in shown]
            cells += [f"**{value}**" if i == 0 and value.mean == best else str(value) for i, value in enumerate(values)]
        else:
            cells += [row["missing"].replace("|", "\\|"), *[""] * (len(columns) - 1)]
        lines.append(cells)
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    if seeds is not None and len(seeds) > 1:
        table += (
            f"\nMeans over the seeds {', '.join(map(str, seeds))}, ± the half-width of a 95% interval (Student's t).\n"
        )
    return table


def _draw(out: Path, rows: Sequence[dict[str, Any]], headline: str) -> None:
    """A line for every combination: its validation score's mean, its interval, and a grey dot for each seed."""
    figure = new_figure(7, 1.2 + 0.32 * len(rows), constrained=True)
    axes = figure.subplots()
    for y, row in enumerate(rows):
        values = [one[headline] for one in row["val_scores"] if one[headline] is not None]
        axes.plot(values, [y] * len(values), linestyle="", marker="o", markersize=4, color="#bbbbbb")
        found = Interval(**row["val"][headline])
        if found.mean is not None:
            axes.errorbar(found.mean, y, xerr=found.half_width, marker="o", markersize=5, capsize=3, color="#c0392b")
    labels = [", ".join(f"{name} {value}" for name, value in row["varied"].items()) for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=9, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    seeds = max(len(row["scores"]) for row in rows)
    axes.set_title(
        f"validation {headline}" + (f": mean of {seeds} seeds, 95% interval" if seeds > 1 else ""), fontsize=10
    )
    despine(axes)
    axes.grid(axis="x", alpha=0.25)
    save(figure, out, "sweep.png")


def _alternatives(types: dict[str, Any], arguments: Sequence[str]) -> dict[str, list[list[str]]]:
    """For every knob on a command line, by name, the alternatives for its words: commas stand between them."""
    given: dict[str, list[list[str]]] = {}
    words: list[tuple[str, list[str]]] = []
    for argument in arguments:
        if argument.startswith("--"):
            flag, equals, value = argument.partition("=")
            words.append((flag, [value] if equals else []))
        elif words:
            words[-1][1].append(argument)
        else:
            raise ExperimentError(f"{argument} belongs to no knob; write --knob {argument}.")
    for flag, values in words:
        name = flag.removeprefix("--").replace("-", "_")
        if name in given:
            raise ExperimentError(f"{flag} is there twice; name its values once, with commas between them.")
        alternatives: list[list[str]] = [[]]
        for value in values:
            first, *more = value.split(",")
            alternatives[-1].append(first)
            alternatives += [[one] for one in more]
        if types.get(name) is bool and values:  # on a command line these have no value
            no = f"--no-{flag.removeprefix('--')}"
            given[name] = [
                [{"true": flag, "false": no}.get(one[0].lower(), f"{flag}={one[0]}")] for one in alternatives
            ]
        else:
            given[name] = [[flag, *one] for one in alternatives]
    return given


def _said(varied: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in varied.items()) or "the only combination"


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _folder_name(varied: dict[str, str]) -> str:
    """A name of its own for every combination, whatever others there are, that file systems take."""
    name = ",".join(f"{name}={value}" for name, value in varied.items()) or "run"
    safe = re.sub(r"[^\w.,=+-]", "_", name)
    if len(safe.encode()) <= _LONGEST:
        return safe
    digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{safe.encode()[: _LONGEST - 9].decode(errors='ignore')}-{digest}"
