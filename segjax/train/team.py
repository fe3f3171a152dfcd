"""Runs that are trained side by side, and the devices that they share."""

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
from jaxtyping import Array

from segjax.data import Source, train_batches
from segjax.tasks.task import Batch, Task
from segjax.train.checkpoints import Checkpoints, Progress
from segjax.train.damaged import Damaged
from segjax.train.devices import Placement, Program
from segjax.train.evaluate import evaluate, make_evaluation_step
from segjax.train.experiment import Experiment
from segjax.train.history import History, validated
from segjax.train.run import Run
from segjax.train.state import TrainState, Variables
from segjax.train.step import several_steps


@dataclasses.dataclass(eq=False)
class Member:
    """One of the runs that are trained side by side, which differ in their seed alone."""

    experiment: Experiment
    run: Run
    checkpoints: Checkpoints
    history: History
    key: Array
    state: TrainState
    batches: Iterator[Batch] = dataclasses.field(default_factory=lambda: iter(()))
    progress: Progress = dataclasses.field(default_factory=Progress)
    """Of the checkpoint that was read or saved last."""
    seconds: float = 0.0
    """What training took up to the checkpoint that this process began with."""

    @property
    def step(self) -> int:
        """Of the checkpoint that was read or saved last; 0 before there is one."""
        return self.progress.get("next_batch", 0)

    @property
    def ended(self) -> bool:
        """Whether it needs no more steps: the last one is done, or patience is over."""
        scored, patience = self.history.row_with("val"), self.experiment.patience
        if scored is None:
            return False
        over = patience is not None and self.history.looks_since_best() >= patience
        return over or scored["step"] == self.experiment.steps

    @property
    def tested(self) -> dict[str, Any] | None:
        """The scores on the test split of the checkpoint that it has now; None where it was not scored there."""
        return self.history.test_of(self.step)

    @property
    def predicting(self) -> Variables:
        """Of the state that it has now, the variables that a run predicts with: the averages where there are any."""
        return self.state.ema or self.state.variables

    @property
    def task(self) -> Task:
        """The task, with what was chosen on the validation split for the variables that it has now."""
        task, scores = self.experiment.task_of_data, validated(self.history.rows, self.step)
        return task if scores is None else task.decided(scores)

    def restore(self) -> None:
        """Read the newest checkpoint, where there is one, and the rows up to it; nothing is written."""
        newest = self.checkpoints.latest()
        self.history.read(newest)
        if newest:
            self.state, self.progress = self.checkpoints.restore(newest, self.state)
            self.seconds = self.progress["train_seconds"]
            self.checkpoints.keep(self.history.best(self.checkpoints.steps()))

    def take_what_it_predicts_with(self) -> None:
        """Read the best checkpoint where the experiment asks for it and the state is another."""
        best = self.history.best(self.checkpoints.steps())
        if self.experiment.predicts_with == "best" and best not in (None, self.step):
            self.state, self.progress = self.checkpoints.restore(best, self.state)


class Team:
    """Runs that share devices: one compiled program takes a step of all that are still trained."""

    def __init__(self, members: Sequence[Member], placement: Placement) -> None:
        experiment = members[0].experiment
        self.members = members
        self.training: list[Member] = []
        """Those that are still trained."""
        self._model = experiment.model
        self.waited: float = 0.0
        """Seconds spent waiting for batches since someone set this to 0."""
        self.placement = placement
        self._task = experiment.task_of_data
        self._measure = make_evaluation_step(experiment.model, self._task, placement)

    def train(self, members: Sequence[Member], step: int) -> None:
        """From here on, after that many steps, a step is one of these members; compiles it where it is another one."""
        same = members == self.training
        self.training = list(members)
        if members:
            experiment = members[0].experiment.after(step)
            if not same or experiment.model is not self._model:
                self._model = experiment.model
                self.program: Program = self._compile(experiment)

    def step(self) -> None:
        """Take as many steps as are in a call, of every member that is still trained."""
        began = time.perf_counter()
        batches = tuple(map(self._next_batches, self.training))
        self.waited += time.perf_counter() - began
        states, keys = self._states_and_keys()
        for member, state in zip(self.training, self.program.run(states, batches, keys), strict=True):
            member.state = state

    def score(self, asked: Sequence[tuple[Variables, Task]], batches: Iterable[Batch]) -> list[dict[str, Any]]:
        """The scores of several sets of variables on the same batches."""
        return evaluate(self._measure, asked, batches, self.placement)

    def _compile(self, experiment: Experiment) -> Program:
        task, count = self._task, self.placement.layout.steps_per_call
        unrolled = self.placement.platform == "cpu"
        several = partial(several_steps, experiment=experiment, task=task, unrolled=unrolled)

        def step(states: Any, batches: Any, keys: Any, **devices: Any) -> Any:
            return tuple(several(*one, **devices) for one in zip(states, batches, keys, strict=True))

        batches = []
        for member in self.training:
            first = next(member.batches)
            member.batches = itertools.chain([first], member.batches)
            batches.append((self.placement.batch(first),) * count)
        states, keys = self._states_and_keys()
        return self.placement.compile(step, states, tuple(batches), keys)

    def _next_batches(self, member: Member) -> tuple[dict[str, Array], ...]:
        """Those of the next call."""
        count = self.placement.layout.steps_per_call
        return tuple(self.placement.batch(batch) for batch in itertools.islice(member.batches, count))

    def _states_and_keys(self) -> tuple[tuple[TrainState, ...], tuple[Array, ...]]:
        return tuple(member.state for member in self.training), tuple(member.key for member in self.training)


def training_batches(experiment: Experiment, source: Source, start: int, damaged: Damaged) -> Iterator[Batch]:
    """This process's share of the batches from that step on."""
    return train_batches(
        source,
        experiment.batch_size,
        seed=experiment.seed,
        augment=experiment.augment if experiment.augment_on == "host" else None,
        start=start,
        shard=(jax.process_index(), jax.process_count()),
        max_boxes=experiment.max_boxes,
        damaged=damaged,
    )
