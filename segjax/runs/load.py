"""A trained model back from its run folder."""

from pathlib import Path
from typing import Any, Literal

from flax import linen as nn

from segjax.errors import ExperimentError
from segjax.runs.run import experiment_of, open_run
from segjax.train.checkpoints import Progress, complete_steps, read_variables
from segjax.train.devices import Layout, Placement
from segjax.train.evaluate import evaluate, make_evaluation_step, split_batches
from segjax.train.experiment import Experiment, Which
from segjax.train.history import best_step
from segjax.train.run import Run
from segjax.train.state import Variables


def load(run: str | Path) -> tuple[nn.Module, Variables]:
    """The model and the variables that a run predicts with; its data set is not touched.

    `model.apply(variables, images, train=False)` gives what the model returns, such as logits (n h w k), for images (n
    h w c) as the data set stores them: uint8, or float in 0..255. They are those of the newest checkpoint or, where the
    experiment has `patience`, of the best one; the averaged ones where the run keeps any.

    Raises:
        ExperimentError: the folder is no run or holds no checkpoint.
    """
    experiment, variables = load_experiment(run)
    return experiment.model, variables


def load_experiment(run: str | Path, which: Which | None = None) -> tuple[Experiment, Variables]:
    """A run's experiment, its data set not opened, and the variables of a checkpoint: by default as `load`."""
    experiment, _, variables, _ = _read(open_run(Path(run)), which)
    return experiment, variables


def evaluate_run(run: str | Path, which: Which | None = None, split: Literal["test", "val"] = "test") -> dict[str, Any]:
    """Score a run's checkpoint, by default the one that it predicts with, on a split."""
    experiment, step, variables, progress = _read(open_run(Path(run)), which)
    task = experiment.task_of_data
    placement = Placement(Layout(), experiment.batch_size)
    batches = split_batches(experiment, experiment.data.open(split))
    evaluation_step = make_evaluation_step(experiment.model, task, placement)
    (scores,) = evaluate(evaluation_step, task, [placement.replicate(variables)], batches, placement)
    return {split: scores, "steps": step, "train_seconds": round(progress["train_seconds"], 1)}


def _read(run: Run, which: Which | None) -> tuple[Experiment, int, Variables, Progress]:
    experiment = experiment_of(run)
    steps = complete_steps(run.checkpoints)
    if not steps:
        raise ExperimentError(f"{run.checkpoints} holds no complete checkpoint yet; train for longer, then try again.")
    if (which or experiment.predicts_with) == "last":
        step = max(steps)
    else:
        best = best_step(run.metrics(), experiment.task_of_data.headline, steps)
        if best is None:
            raise ExperimentError(
                f"{run.checkpoints} holds no checkpoint with a score yet; train for longer, or ask for the last one."
            )
        step = best
    variables, progress = read_variables(run.checkpoints, experiment.model, step)
    return experiment, step, variables, progress
