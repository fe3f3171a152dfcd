"""Training from Python, without an experiment file: `segjax.train(experiment, out=...)`."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segjax.errors import ExperimentError, counted
from segjax.train import distributed
from segjax.train.checkpoints import complete_steps
from segjax.train.devices import Layout
from segjax.train.experiment import Experiment
from segjax.train.loggers import check_loggers, log_to
from segjax.train.loop import train
from segjax.train.mirror import mirrored
from segjax.train.run import Run, resuming
from segjax.train.typed import refuse_other_types

_MAY_CHANGE = ("steps", "batch_size", "accumulate", "evaluate_every", "patience")
"""How a run is trained, beside its optimizer, which cannot be compared."""
_GIVEN = {"experiment": Experiment, "out": str | Path, "layout": Layout, "log": tuple[str, ...] | None}


def train_in(
    experiment: Experiment,
    out: str | Path,
    layout: Layout = Layout(),
    *,
    profile: bool = False,
    log: Sequence[str] | None = None,
) -> Run:
    """Train an experiment in the folder `out`, and return the run; the same call goes on with one that was stopped.

    How it is trained may be another from then on, as by `segjax train --resume`: its steps, batch size, optimizer, what
    it accumulates, when it is scored, and patience. What is compared of all else are numbers and words, the
    augmentation, and the names of the classes, the model, the loss and the task.

    The run's `report()` has the scores, and `segjax.load(run.path, experiment=experiment)` the trained model.

    Args:
        experiment: What to train.
        out: The run folder; made where there is none. Of s3://BUCKET/FOLDER or gs://BUCKET/FOLDER the run has a
            folder on this machine, and what is new in it is brought to the bucket while it is trained.
        layout: Which devices share the work, and how.
        profile: Whether five steps are traced, for TensorBoard and Perfetto.
        log: Where the numbers go beside the run's files: tensorboard, wandb, mlflow; None for where they went before,
            or TensorBoard.

    Raises:
        ExperimentError: the folder holds something else, a run that is otherwise another or has taken more steps than
            it is to have, a logger is not there, or what is given is of another type.
        DataError: the data set cannot be read, or the bucket not be reached.
        Interrupted: it was asked to stop, by Ctrl-C or SIGTERM, and what it had learned is saved.
    """
    given = {"experiment": experiment, "out": out, "layout": layout, "log": log}
    refuse_other_types(_GIVEN, given, {})
    check_loggers(log or ())
    settings = _settings(experiment)
    with mirrored(out) as path:
        assert path is not None
        run = Run(Path(distributed.agree(lambda: str(_opened(path, settings, log).path))))
        train(experiment, run, layout, profile=profile)
    return run


def _opened(path: Path, settings: dict[str, Any], log: Sequence[str] | None) -> Run:
    run = Run(path) if (path / "run.json").exists() else Run.create(path, {"knobs": settings})
    kept = run.configuration()
    if "experiment" in kept:
        raise ExperimentError(f"{path} was made from an experiment file; go on by `{resuming(path)}`.")
    changed = {name: new for name, new in settings.items() if kept["knobs"].get(name, new) != new}
    if fixed := [name for name in changed if name not in _MAY_CHANGE]:
        said = "; ".join(f"{name} was {kept['knobs'][name]!r}, not {changed[name]!r}" for name in fixed)
        raise ExperimentError(f"{path} goes on as it began: {said}. Change it back, or give another out.")
    step = max(complete_steps(run.checkpoints), default=0)
    if settings["steps"] < step:
        raise ExperimentError(f"{path} has taken {counted(step, 'step')} already: give steps more than that.")
    if changed:
        run.change(step, changed)
    if log is not None:
        log_to([run], log)
    return run


def _settings(experiment: Experiment) -> dict[str, Any]:
    """What of an experiment can be kept and compared: plain values, and the names of what is none."""
    values = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    values = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    plain = {name: value for name, value in values.items() if value is None or isinstance(value, int | float | str)}
    return plain | {
        "classes": ", ".join(experiment.data.class_names),
        "model": type(experiment.model).__name__,
        "loss": _name(experiment.loss),
        "task": _name(experiment.task),
        "augment": None if experiment.augment is None else repr(experiment.augment),
    }


def _name(function: Any) -> str:
    """What a function is called, and what it is given where `functools.partial` says it in numbers and words."""
    if not isinstance(function, partial):
        return getattr(function, "__qualname__", type(function).__name__)
    given = [f"{name}={value}" for name, value in function.keywords.items() if isinstance(value, int | float | str)]
    return f"{_name(function.func)}({', '.join(given)})"
