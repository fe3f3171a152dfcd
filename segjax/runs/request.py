"""From the words of a command line to the runs that they name."""

import json
from collections.abc import Sequence
from pathlib import Path

from segjax.errors import ExperimentError
from segjax.runs.experiment_file import ExperimentFile, read_experiment
from segjax.runs.knobs import TRAINING, WHERE, Knobs, located
from segjax.runs.run import experiment_file, knobs_of, new_run
from segjax.runs.seeds import create_runs, open_runs, refuse_seed
from segjax.train import distributed
from segjax.train.checkpoints import complete_steps
from segjax.train.run import Run


def new_runs(
    said: str, arguments: Sequence[str], out: Path | None, seeds: Sequence[int] | None
) -> tuple[Path, list[Run]]:
    """A new folder for an experiment with those knobs, and the runs in it: itself, or one for each seed.

    Where the same command began there and was killed, its own folder, to go on.

    Raises:
        ExperimentError: the experiment, a knob or the folder cannot be used.
        DataError: its data set cannot be used.
    """
    file = read_experiment(said)
    refuse_seed(arguments, seeds)
    knobs = file.knobs(arguments)

    def create() -> str:
        if out is not None and _began(out, file, knobs, seeds):
            return str(out)
        if seeds is not None:
            return str(create_runs(out, file, knobs, seeds)[0].path.parent)
        return str(new_run(out, file, knobs).path)

    folder = Path(distributed.agree(create))
    return folder, open_runs(folder)


def _began(folder: Path, file: ExperimentFile, knobs: Knobs, seeds: Sequence[int] | None) -> bool:
    """Whether a folder holds what the same experiment began with the same knobs and has not finished."""
    if (folder / "report.json").exists() or (folder / "run.json").exists() != (seeds is None):
        return False
    try:
        runs = open_runs(folder)
        kept = [run.configuration()["knobs"] for run in runs]
    except ExperimentError:
        return False
    asked = json.loads(json.dumps(located(knobs)))
    of_seeds = [asked] if seeds is None else [asked | {"seed": seed} for seed in sorted(seeds)]
    text = file.path.read_bytes()
    return kept == of_seeds and all(run.experiment_file.read_bytes() == text for run in runs)


def old_runs(folder: Path, arguments: Sequence[str]) -> list[Run]:
    """The runs of a folder to go on with, from here on with other values of the knobs that are given.

    Raises:
        ExperimentError: it holds none, a knob may not change, or one of its runs went on by itself and is another now.
    """
    runs = open_runs(folder)
    if arguments:
        distributed.agree(lambda: _change(runs, arguments))
    _refuse_different(runs)
    return runs


def _change(runs: Sequence[Run], arguments: Sequence[str]) -> str:
    """Write other knobs into every run.json, if all runs can take them; returns what changed."""
    changes = [_changed(run, arguments) for run in runs]
    for run, (step, changed) in zip(runs, changes, strict=True):
        if changed:
            run.change(step, changed)
    return ", ".join(name for _, changed in changes for name in changed)


def _refuse_different(runs: Sequence[Run]) -> None:
    """Refuse runs that differ in more than their seed: all would be trained by the knobs of the first."""
    first, *others = runs
    known = first.configuration()["knobs"]
    for run in others:
        for name, value in run.configuration()["knobs"].items():
            if name != "seed" and value != known.get(name):
                raise ExperimentError(
                    f"{run.path} has {name} {value} and {first.path} has {known.get(name)}: give all of them one, as "
                    f"by --{name.replace('_', '-')}, or go on with each by itself."
                )


def _changed(run: Run, arguments: Sequence[str]) -> tuple[int, Knobs]:
    """The other knobs, with the step from which they hold."""
    file, kept = experiment_file(run), knobs_of(run)
    changed = {name: value for name, value in located(file.changed(kept, arguments)).items() if kept.get(name) != value}
    step = max(complete_steps(run.checkpoints), default=0)
    if fixed := [name for name in changed if name not in (*TRAINING, *WHERE)]:
        said = "; ".join(f"{name} was {kept.get(name)!r}, not {changed[name]!r}" for name in fixed)
        may = ", ".join(name for name in (*TRAINING, *WHERE) if name in kept)
        raise ExperimentError(
            f"{run.path} goes on as it began: {said}. Leave these knobs out, or start a new run; what may change is "
            f"{may}."
        )
    if changed.get("steps", step) < step:
        raise ExperimentError(f"{run.path} has taken {step} steps already: give --steps more than that.")
    if changed:
        file.build(kept | changed, dict(run.configuration()["facts"]))  # a value that it cannot take is said now
    return step, changed
