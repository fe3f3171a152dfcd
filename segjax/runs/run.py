"""A run of an experiment file: its folder made, opened again, and its experiment built from it."""

import re
import time
from pathlib import Path
from typing import Any

from segjax import __version__
from segjax.errors import ExperimentError, counted
from segjax.runs.experiment_file import ExperimentFile, read_experiment
from segjax.runs.knobs import Knobs, located
from segjax.train.experiment import Experiment
from segjax.train.run import Run


def new_run(path: Path | None, file: ExperimentFile, knobs: Knobs) -> Run:
    """Make a new run folder, after the experiment was built once, to find out what is to be remembered of its data.

    It is built again from the folder to be trained, so that what trains is what the folder says.

    Raises:
        ExperimentError: the experiment cannot be built, or the folder not be made.
        DataError: the data set cannot be used.
    """
    facts: dict[str, Any] = {}
    file.build(knobs, facts)
    return create_run(path, file.path, knobs, facts, file.name, file.defaults())


def create_run(
    path: Path | None,
    file: Path,
    knobs: Knobs,
    facts: dict[str, Any] | None = None,
    name: str | None = None,
    defaults: Knobs | None = None,
) -> Run:
    """Make a new run folder for an experiment file; `runs/<name>/<time>` where no path is given.

    Knobs that say where data is are kept as they hold from any working folder. `facts` is what the experiment function
    remembered of its data, `name` that of the preset where there is one. `defaults` is what knobs would have been that
    nobody gave, for the report to mark those that are others.

    Raises:
        ExperimentError: the folder cannot be made.
    """
    name = name or file.stem
    unsaid = {knob: value for knob, value in located(defaults or {}).items() if knob in knobs}
    kept = {"experiment": name, "knobs": located(knobs), "facts": facts or {}, "defaults": unsaid}
    return Run.create(path or default_folder(name), kept, file)


def open_run(path: Path) -> Run:
    """The run folder at that path.

    Raises:
        ExperimentError: it is none, it was made from Python, or by segjax 0.1.
    """
    missing = [name for name in ("experiment.py", "run.json", "checkpoints") if not (path / name).exists()]
    if missing == ["experiment.py"] and "experiment" not in Run(path).configuration():
        raise ExperimentError(
            f"{path} was trained from Python, without an experiment file; go on with it by the same call of "
            "`segjax.train`, or give `segjax.load` its experiment."
        )
    if missing:
        if inside := _runs_below(path):
            some = "name it," if len(inside) == 1 else "name those that you mean, such as"
            raise ExperimentError(f"{path} holds {counted(len(inside), 'run')}: {some} {inside[0]}.")
        what = "not a folder" if not path.is_dir() else f"not a run folder: it has no {missing[0]}"
        raise ExperimentError(f"{path} is {what}; name the folder that `segjax train` printed on its last line.")
    made_by = Run(path).configuration().get("versions", {}).get("segjax", "0.1")
    if made_by.split(".")[:2] == ["0", "1"]:
        raise ExperimentError(
            f"{path} was made by segjax {made_by}, which {__version__} cannot read; train it again, "
            "or install `segjax<0.2` to use it."
        )
    if lost := [name for name in ("experiment", "knobs", "facts") if name not in Run(path).configuration()]:
        raise ExperimentError(f"{path}/run.json is damaged (it has no {lost[0]}); put back the one that the run wrote.")
    return Run(path)


def _runs_below(path: Path) -> list[Path]:
    """The runs of several seeds, of a sweep, or of an experiment's default folder, a sweep's seeds among them."""
    of_sweep = sorted(file.parent for below in ("*", "*/seed*") for file in path.glob(f"{below}/run.json"))
    return seed_folders(path) or of_sweep


def seed_folders(path: Path) -> list[Path]:
    """Where the runs of several seeds are, in the order of the seeds."""
    found = {int(name[1]): folder for folder in path.glob("seed*") if (name := re.fullmatch(r"seed(\d+)", folder.name))}
    return [found[seed] for seed in sorted(found) if (found[seed] / "run.json").exists()]


def experiment_file(run: Run) -> ExperimentFile:
    """A run's copy of its experiment file, with the preset by which it was named."""
    return read_experiment(run.experiment_file, run.configuration()["experiment"])


def experiment_of(run: Run, changed: Knobs | None = None) -> Experiment:
    """A run's experiment as it was, built again from the copied file and the recorded knobs, but for some of them."""
    return experiment_file(run).build(knobs_of(run) | (changed or {}), run.configuration()["facts"])


def knobs_of(run: Run) -> Knobs:
    """The recorded knobs of a run."""
    kept = run.configuration()["knobs"]
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}


def default_folder(name: str) -> Path:
    """Where a run goes that was given no folder: made empty, so that no other of the same second gets it.

    Raises:
        ExperimentError: it cannot be made.
    """
    first = Path("runs") / name / time.strftime("%Y-%m-%d_%H-%M-%S")
    path, number = first, 1
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
            path = first.with_name(f"{first.name}_{number}")
        except OSError as error:
            said = f"{path} cannot be written: {error.strerror}; give --out a folder of yours."
            raise ExperimentError(said) from error
        else:
            return path
