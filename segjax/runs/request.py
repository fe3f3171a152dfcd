"""From the words of a command line to the runs that they name."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from segjax.errors import ExperimentError, counted
from segjax.runs.experiment_file import ExperimentFile, read_experiment
from segjax.runs.knobs import TRAINING, WHERE, Knobs, located
from segjax.runs.run import experiment_file, knobs_of, new_run, seed_folders
from segjax.runs.seeds import create_runs, open_runs, refuse_seed
from segjax.train import distributed
from segjax.train.checkpoints import complete_steps
from segjax.train.run import Run


def new_runs(
    said: str, arguments: Sequence[str], out: Path | None, seeds: Sequence[int] | None
) -> tuple[Path, list[Run]]:
    """A new folder for an experiment with those knobs, and the runs in it: itself, or one for each seed.

    Where the same command began there and was killed, its own folder, to go on. Seeds of other commands in it are
    trained as well.

    Raises:
        ExperimentError: the experiment, a knob or the folder cannot be used.
        DataError: its data set cannot be used.
    """
    file = read_experiment(said)
    refuse_seed(arguments, seeds)
    knobs = file.knobs(arguments)

    def create() -> str:
        begun = [] if out is None else _begun(out, file, knobs, seeds)
        if seeds is None:
            return str((begun or [new_run(out, file, knobs)])[0].path)
        if out is not None:
            _refuse_different([("this command", _kept(knobs)), *_known(map(Run, seed_folders(out)))])
        there = [run.configuration()["knobs"]["seed"] for run in begun]
        left = [seed for seed in seeds if seed not in there]
        return str((begun + (create_runs(out, file, knobs, left) if left else []))[0].path.parent)

    folder = Path(distributed.agree(create))
    return folder, open_runs(folder)


def _begun(folder: Path, file: ExperimentFile, knobs: Knobs, seeds: Sequence[int] | None) -> list[Run]:
    """The runs in a folder, if the same experiment began them with the same knobs and has not finished.

    Those of some of the seeds are so where none was trained yet: a kill came before the others were made.
    """
    if (folder / "report.json").exists() or (folder / "run.json").exists() != (seeds is None):
        return []
    try:
        runs = open_runs(folder)
        kept = [run.configuration()["knobs"] for run in runs]
    except ExperimentError:
        return []
    asked, text = _kept(knobs), file.path.read_bytes()
    of_seeds = [asked] if seeds is None else [asked | {"seed": seed} for seed in sorted(seeds)]
    untrained = not any(any(run.checkpoints.glob("*")) for run in runs)
    same = kept == of_seeds or (untrained and all(of_seeds.count(one) == 1 for one in kept))
    return runs if same and all(run.experiment_file.read_bytes() == text for run in runs) else []


def _kept(knobs: Knobs) -> Knobs:
    """The knobs as run.json has them."""
    return json.loads(json.dumps(located(knobs)))


def old_runs(folder: Path, arguments: Sequence[str]) -> list[Run]:
    """The runs of a folder to go on with, from here on with other values of the knobs that are given.

    Raises:
        ExperimentError: it holds none, a knob may not change, or one of its runs went on by itself and is another now.
    """
    runs = open_runs(folder)
    if arguments:
        distributed.agree(lambda: _change(runs, arguments))
    _refuse_different(_known(runs))
    return runs


def _change(runs: Sequence[Run], arguments: Sequence[str]) -> str:
    """Write other knobs into every run.json, if all runs can take them; returns what changed."""
    changes = [_changed(run, arguments) for run in runs]
    for run, (step, changed) in zip(runs, changes, strict=True):
        if changed:
            run.change(step, changed)
    return ", ".join(name for _, changed in changes for name in changed)


def _known(runs: Iterable[Run]) -> list[tuple[str, Knobs]]:
    return [(str(run.path), run.configuration()["knobs"]) for run in runs]


def _refuse_different(runs: Sequence[tuple[str, Knobs]]) -> None:
    """Refuse runs, by what they are called, that differ in more than their seed.

    All would be trained by the knobs of the first.
    """
    (first, known), *others = runs
    for run, knobs in others:
        for name, value in knobs.items():
            if name != "seed" and value != known.get(name):
                raise ExperimentError(
                    f"{run} has {name} {value} and {first} has {known.get(name)}: seeds of one folder are trained as "
                    f"one experiment, so give all of them one {name}, or each a folder of its own."
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
        raise ExperimentError(f"{run.path} has taken {counted(step, 'step')} already: give --steps more than that.")
    if changed:
        file.build(kept | changed, dict(run.configuration()["facts"]))  # a value that it cannot take is said now
    return step, changed
