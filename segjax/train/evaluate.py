"""Scores of a model on a data set."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
from flax import linen as nn
from jaxtyping import Array, Key, Num

from segjax import compiling
from segjax.data import Dataset, Source, test_batches
from segjax.errors import DataError, ExperimentError, UserError
from segjax.tasks.task import Batch, Task
from segjax.train import devices
from segjax.train.experiment import Experiment
from segjax.train.state import Variables

EvaluationStep = Callable[[Variables, Batch], Any]


def initial_variables(model: nn.Module, image: Num[Any, "n h w c"], key: Key[Array, ""]) -> Variables:
    """A model's variables before training; the same for the same key.

    Raises:
        ExperimentError: a part of segjax says that it cannot be what it is in this model, such as a max-unpooling
            beside an encoder that does not pool.
    """
    # It runs once: optimising the random numbers' code would take several times as long as running it.
    options = {"xla_backend_optimization_level": 0}
    try:
        return jax.jit(lambda key: model.init(key, image, train=False), compiler_options=options)(key)
    except ValueError as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if not frame.f_globals["__name__"].startswith("segjax."):  # of jax, or of a model of the user's
            raise
        raise ExperimentError(str(error)) from error


def make_evaluation_step(model: nn.Module, task: Task, placement: devices.Placement) -> EvaluationStep:
    """A compiled function from variables and a batch to what the task's scores need of it."""

    def step(variables: Variables, batch: Batch) -> Any:
        return task.measure(model.apply(variables, batch["image"], train=False), batch)

    return compiling.jit(step, out_shardings=placement.everywhere)


def opened_split(data: Dataset, split: str) -> Source:
    """A split of a data set.

    Raises:
        DataError: it has no records, or what opens it fails.
    """
    try:
        source = data.open(split)
    except (UserError, OSError, ImportError, MemoryError):
        raise
    except Exception as error:  # of a person's own code, such as a KeyError where it has no such split
        raise DataError(
            f"The {split} split of {data.name} cannot be opened ({type(error).__name__}: {error}); mend what opens it: "
            "train, val and test are asked for."
        ) from error
    if len(source) == 0:
        raise DataError(
            f"The {split} split of {data.name} has no records, and a run needs some to train on, to choose by and to "
            "be tested on: give it some."
        )
    return source


def split_batches(experiment: Experiment, source: Source) -> Iterator[Batch]:
    """This process's share of a split that is scored, every record once."""
    shard = (jax.process_index(), jax.process_count())
    source = experiment.task_of_data.seen(source)
    return test_batches(source, experiment.batch_size, shard=shard, max_boxes=experiment.max_boxes)


def evaluate(
    step: EvaluationStep,
    asked: Sequence[tuple[Variables, Task]],
    batches: Iterable[Batch],
    placement: devices.Placement,
) -> list[dict[str, Any]]:
    """Score several sets of variables of one model on the same batches, each of which is read once."""
    measured = measure(step, [variables for variables, _ in asked], batches, placement)
    return [task.scores(parts) for (_, task), parts in zip(asked, measured, strict=True)]


def measure(
    step: EvaluationStep, variables: Sequence[Variables], batches: Iterable[Batch], placement: devices.Placement
) -> list[list[Any]]:
    """What the task's scores need of every batch, for several sets of variables, as NumPy arrays."""
    measured: list[list[Any]] = [[] for _ in variables]
    for batch in batches:
        on_devices = placement.batch(batch)
        for each, parts in zip(variables, measured, strict=True):
            parts.append(jax.device_get(step(each, on_devices)))
    return measured
