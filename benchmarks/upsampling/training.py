"""One cell's programs, which all of its seeds share, and one run of it."""

import itertools
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from flax import linen as nn
from jax import Array

from benchmarks.upsampling import pretrained
from benchmarks.upsampling.cells import TWIN, Cell, network
from benchmarks.upsampling.data import Data
from benchmarks.upsampling.settings import Settings
from segjax import compiling, losses
from segjax.data import Augment, train_batches
from segjax.layers import Normalized
from segjax.tasks import Segmentation
from segjax.train import Experiment, ExperimentError
from segjax.train.state import TrainState, Variables
from segjax.train.step import one_step


@dataclass(frozen=True)
class Programs:
    """What a cell runs. The seed goes in as a key, so that one compilation serves all seeds.

    The runs of a cell follow one another: with all seeds in one program a step is hardly faster on CPU, and compiling
    it takes as many times as long.
    """

    model: nn.Module
    experiment: Experiment
    start: Callable[[Variables], Variables] | None
    """From initial variables to those with the encoder's weights; None where all begins at random."""
    init: Any
    """From a key to variables."""
    step: Any
    """From state, batch and key to the next state; the first is used up."""
    apply: Any
    """From variables and images to logits."""


class Trained(NamedTuple):
    """A run at its end."""

    variables: Variables
    loss: float
    """The mean over all steps."""
    seconds: float


def programs(cell: Cell, data: Data, settings: Settings) -> Programs:
    """The functions of a cell, compiled when they are called first."""
    known: dict[str, Any] = {"mean": data.mean, "std": data.std, "gamma": data.gamma}
    start = cell.family in pretrained.FAMILIES and settings.start == "weights"
    if start:
        known = pretrained.statistics(cell.family)
    model = Normalized(network(cell, data.num_classes), **known)
    crop = settings.crop or data.side
    schedule = optax.cosine_onecycle_schedule(settings.steps, settings.learning_rate)
    experiment = Experiment(
        model=model,
        data=data.dataset,
        loss=partial(losses.cross_entropy, class_weights=np.array(data.class_weights)),
        optimizer=optax.adamw(schedule, weight_decay=1e-4),
        steps=settings.steps,
        batch_size=settings.batch_size,
        augment=Augment(crop=(crop, crop), flip_horizontal=True, flip_vertical=data.flip_vertical),
    )
    task = Segmentation(data.dataset)
    image = data.probes[:1]

    def init(key: Array) -> TrainState:
        return TrainState.initial(model.init(key, image, train=False), experiment.optimizer, task.zero())

    def step(state: TrainState, batch: Any, key: Array) -> TrainState:
        return one_step(state, batch, key, experiment=experiment, task=task)

    return Programs(
        model,
        experiment,
        partial(pretrained.started, cell.family, model) if start else None,
        # It runs once a seed: optimising the code of random numbers would take longer than running it.
        jax.jit(init, compiler_options={"xla_backend_optimization_level": 0}),
        compiling.jit(step, donate_argnums=0),
        compiling.jit(lambda variables, image: model.apply(variables, image, train=False)),
    )


def initial_state(cell: Cell, program: Programs, seed: int) -> TrainState:
    """The state before the first step: the same for cells of one seed wherever their parameters have the same path."""
    key = jax.random.key(seed)
    state = program.init(jax.random.fold_in(key, zlib.crc32(TWIN.encode())) if cell.upsampler == TWIN else key)
    if program.start is None:
        return state
    variables = program.start(jax.device_get(state.variables))
    collections = {name: values for name, values in variables.items() if name != "params"}
    return state.replace(params=variables["params"], collections=collections)


def train(program: Programs, state: TrainState, data: Data, seed: int) -> Trained:
    """Train to the last step; the batches depend on the seed and nothing else. `state` is used up."""
    experiment = program.experiment
    key = jax.random.key(seed)
    batches = train_batches(data.train, experiment.batch_size, seed=seed, augment=experiment.augment)
    start = time.perf_counter()
    for batch in itertools.islice(batches, experiment.steps):
        state = program.step(state, {"image": batch["image"], "mask": batch["mask"]}, key)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - start
    if int(state.skipped.last):
        raise ExperimentError(
            f"Step {int(state.skipped.last)} of seed {seed} had no finite loss or gradient: lower the learning rate."
        )
    return Trained(state.variables, float(np.asarray(state.tally.loss / state.tally.steps)), seconds)
