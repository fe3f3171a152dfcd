"""A trained model back from its run folder."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from flax import linen as nn

from segjax.errors import ExperimentError
from segjax.inference import refined
from segjax.ops.boxes import SoftNMS
from segjax.progress import Bar
from segjax.runs.knobs import located
from segjax.runs.per_image import write_per_image
from segjax.runs.run import experiment_of, open_run
from segjax.tasks import Detection
from segjax.tasks.task import Batch
from segjax.train.checkpoints import Progress, complete_steps, read_variables
from segjax.train.devices import Layout, Placement
from segjax.train.evaluate import make_evaluation_step, measure, opened_split, split_batches
from segjax.train.experiment import Experiment, Which
from segjax.train.history import best_step, validated
from segjax.train.mirror import brought
from segjax.train.run import Run, resuming
from segjax.train.state import Variables
from segjax.train.typed import refuse_other_types

_GIVEN = {"run": str | Path, "which": Which | None, "experiment": Experiment | None}


def load(
    run: str | Path | Run, which: Which | None = None, *, experiment: Experiment | None = None
) -> tuple[nn.Module, Variables]:
    """The model and the variables that a run predicts with; its data set is not touched.

    `model.apply(variables, images, train=False)` gives what the model returns, such as logits (n h w k), for images (n
    h w c) as the data set stores them: uint8, or float in 0..255. The weights are the averaged ones where the run keeps
    any. They are those of the newest checkpoint or, where the experiment has `patience`, of the best one, unless
    `which` says it. A run that was trained from Python has no file to build its model from, so that `experiment` must
    be given. One of a bucket, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, is brought here first.

    Raises:
        ExperimentError: the folder is no run, holds no such checkpoint, or one of another model.
        DataError: the bucket cannot be read.
    """
    experiment, variables = load_experiment(run, which, experiment)
    return experiment.model, variables


def load_experiment(
    run: str | Path | Run, which: Which | None = None, experiment: Experiment | None = None
) -> tuple[Experiment, Variables]:
    """A run's experiment, its data set not opened, and the variables of a checkpoint: by default as `load`.

    Raises:
        ExperimentError: as for `load`.
    """
    refuse_other_types(_GIVEN, {"run": run, "which": which, "experiment": experiment}, {})
    path = brought(run)
    folder = open_run(path) if experiment is None else Run(path)
    experiment = experiment or experiment_of(folder)
    step, variables, _ = _read(folder, experiment, which)
    return _decided(folder, experiment, step), variables


def evaluate_run(
    run: str | Path,
    which: Which | None = None,
    split: Literal["test", "val"] = "test",
    where: Mapping[str, str] | None = None,
    per_image: Path | None = None,
    tta: Sequence[str] = (),
    soft_nms: SoftNMS | None = None,
) -> dict[str, Any]:
    """Score a run's checkpoint, by default the one that it predicts with, on a split.

    `where` has values for knobs that say where data is, such as `root`, instead of those that the run remembers: the
    data may have moved, or be another set of the same classes. `per_image` is a folder for what `write_per_image` says.
    With `tta` and `soft_nms` boxes are predicted as `segjax.inference.refined` does it.

    Raises:
        ExperimentError: as for `load`; `tta` or `soft_nms` of a run that does not find many boxes.
    """
    folder = open_run(brought(run))
    experiment = experiment_of(folder, located(where or {}))
    step, variables, progress = _read(folder, experiment, which)
    experiment = _decided(folder, experiment, step)
    if (tta or soft_nms) and not isinstance(experiment.task_of_data, Detection):
        raise ExperimentError(
            f"{run} does not find many boxes in an image, and --tta and --soft-nms of an evaluation are for such runs: "
            "leave them out."
        )
    model = refined(experiment.model, tta, soft_nms)
    scores = score(experiment, model, variables, split, per_image)
    return {split: scores, "steps": step, "train_seconds": round(progress["train_seconds"], 1)}


def score(
    experiment: Experiment,
    model: nn.Module,
    variables: Variables,
    split: Literal["test", "val"],
    per_image: Path | None = None,
) -> dict[str, Any]:
    """The scores of a model on a split of an experiment's data set, as its task has them; `per_image` as above."""
    task = experiment.task_of_data
    if per_image is not None:  # what one batch is measured by is then of one image
        experiment = dataclasses.replace(experiment, batch_size=1, accumulate=1)
    placement = Placement(Layout(1 if per_image else None), experiment.batch_size)
    source = opened_split(experiment.data, split)
    evaluation_step = make_evaluation_step(model, task, placement)
    with Bar("images", len(source)) as bar:
        batches = _shown(split_batches(experiment, source), bar, experiment.batch_size, len(source))
        (measured,) = measure(evaluation_step, [placement.replicate(variables)], batches, placement)
    if per_image is not None:
        write_per_image(per_image, task, model, variables, source, measured)
    return task.scores(measured)


def _shown(batches: Iterable[Batch], bar: Bar, size: int, most: int) -> Iterator[Batch]:
    for number, batch in enumerate(batches, start=1):
        yield batch
        bar.reached(min(number * size, most))  # the last batch of every size of images is filled up


def _decided(run: Run, experiment: Experiment, step: int) -> Experiment:
    """The experiment with what its task chose on the validation split at that step."""
    scores = validated(run.metrics(), step)
    if scores is None:
        return experiment
    task = experiment.task_of_data.decided(scores)
    return dataclasses.replace(experiment, task=lambda data: task)


def _read(run: Run, experiment: Experiment, which: Which | None) -> tuple[int, Variables, Progress]:
    steps = complete_steps(run.checkpoints)
    if not steps:
        raise ExperimentError(f"{run.checkpoints} holds no complete checkpoint yet; train for longer, then try again.")
    step = max(steps)
    if (which or experiment.predicts_with) == "best":
        best = best_step(run.metrics(), experiment.task_of_data.headline, steps)
        if best is None and which == "best":
            raise ExperimentError(
                f"{run.checkpoints} holds no checkpoint with a score yet; train for longer, or ask for the last one."
            )
        step = step if best is None else best
    if step == 0:
        raise ExperimentError(
            f"{run.path} was stopped before its first step and has learned nothing: go on with it by "
            f"`{resuming(run.path)}`."
        )
    variables, progress = read_variables(run.checkpoints, experiment.model, step)
    return step, variables, progress
