"""Training from Python, without an experiment file: `segjax.train(experiment, out=...)`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segjax.errors import ExperimentError
from segjax.train import distributed
from segjax.train.devices import Layout
from segjax.train.experiment import Experiment
from segjax.train.loggers import check_loggers, log_to
from segjax.train.loop import train
from segjax.train.mirror import mirrored
from segjax.train.run import Run


def train_in(
    experiment: Experiment,
    out: str | Path,
    layout: Layout = Layout(),
    *,
    profile: bool = False,
    log: Sequence[str] | None = None,
) -> Run:
    """Train an experiment in the folder `out`, and return the run; the same call goes on with one that was stopped.

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
        ExperimentError: the folder holds something else, or a run of other settings, or a logger is not there.
        DataError: the data set cannot be read, or the bucket not be reached.
        Interrupted: it was asked to stop, by Ctrl-C or SIGTERM, and what it had learned is saved.
    """
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
        raise ExperimentError(f"{path} was made from an experiment file; go on by `segjax train --resume {path}`.")
    changed = [
        f"{name} was {kept['knobs'].get(name)!r}, not {new!r}"
        for name, new in settings.items()
        if kept["knobs"].get(name) != new
    ]
    if changed:
        raise ExperimentError(f"{path} goes on as it began: {'; '.join(changed)}. Change it back, or give another out.")
    if log is not None:
        log_to([run], log)
    return run


def _settings(experiment: Experiment) -> dict[str, Any]:
    """What of an experiment is a plain value, and can be kept and compared."""
    values = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    return {name: value for name, value in values.items() if value is None or isinstance(value, int | float | str)}
