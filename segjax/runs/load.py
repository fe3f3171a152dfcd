"""A trained model back from its run folder."""

from pathlib import Path
from typing import Any

from flax import linen as nn

from segjax.data import test_batches
from segjax.runs.run import experiment_of, open_run
from segjax.train.checkpoints import Which, read_variables
from segjax.train.devices import Layout, Placement
from segjax.train.evaluate import evaluate, make_evaluation_step
from segjax.train.experiment import Experiment
from segjax.train.run import Run
from segjax.train.state import Variables


def load(
    run: str | Path, which: Which = "last", *, experiment: Experiment | None = None
) -> tuple[nn.Module, Variables]:
    """The model and the variables of a run folder's newest or best checkpoint; its data set is not touched.

    `model.apply(variables, images, train=False)` gives what the model returns, such as logits (n h w k), for images (n
    h w c) as the data set stores them: uint8, or float in 0..255. The weights are the averaged ones where the run keeps
    any. A run that was trained from Python has no file to build its model from, so that `experiment` must be given.

    Raises:
        ExperimentError: the folder is no run, holds no checkpoint, or one of another model.
    """
    experiment, variables = load_experiment(run, which, experiment)
    return experiment.model, variables


def load_experiment(
    run: str | Path, which: Which = "last", experiment: Experiment | None = None
) -> tuple[Experiment, Variables]:
    """A run's experiment, its data set not opened, and the variables of the newest or best checkpoint.

    Raises:
        ExperimentError: as for `load`.
    """
    folder = open_run(Path(run)) if experiment is None else Run(Path(run))
    experiment = experiment or experiment_of(folder)
    _, variables, _ = read_variables(folder.checkpoints, experiment.model, which)
    return experiment, variables


def evaluate_run(run: str | Path, which: Which = "last") -> dict[str, Any]:
    """Score a run's newest or best checkpoint on the test split."""
    folder = open_run(Path(run))
    experiment = experiment_of(folder)
    step, variables, progress = read_variables(folder.checkpoints, experiment.model, which)
    task = experiment.task(experiment.data)
    placement = Placement(Layout(), experiment.batch_size)
    batches = test_batches(experiment.data.open("test"), experiment.batch_size, max_boxes=experiment.max_boxes)
    evaluation_step = make_evaluation_step(experiment.model, task, placement)
    (scores,) = evaluate(evaluation_step, task, [placement.replicate(variables)], batches, placement)
    return {"test": scores, "steps": step, "train_seconds": round(progress["train_seconds"], 1)}
