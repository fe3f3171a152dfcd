"""From run folders to runs that are ready for their next step."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import cv2
import jax
import numpy as np
from jaxtyping import Num

from segjax.data import Dataset
from segjax.data.kept import Room, kept_where_worth
from segjax.errors import ExperimentError, counts
from segjax.memory import usable_memory
from segjax.train import devices
from segjax.train.checkpoints import Checkpoints
from segjax.train.damaged import Damaged
from segjax.train.devices import Layout, Placement
from segjax.train.evaluate import initial_variables, opened_split
from segjax.train.experiment import Experiment, parameter_count
from segjax.train.history import History
from segjax.train.interruption import StopRequest
from segjax.train.log import Log
from segjax.train.profile import Profile
from segjax.train.run import Run
from segjax.train.session import LOG_EVERY, Session, Splits
from segjax.train.speed import Speed
from segjax.train.state import TrainState, Variables, started
from segjax.train.team import Member, Team, training_batches

Pairs = Sequence[tuple[Experiment, Run]]
"""Experiments that differ in their seed alone, with the folders that they are trained in."""
Warn = Callable[[str], None]
_SHARE_KEPT = 8
"""One in so many bytes of memory may hold records that were decoded, over all processes, which may share a machine."""


@contextlib.contextmanager
def opened(pairs: Pairs, layout: Layout, *, profile: bool) -> Iterator[Session]:
    """Runs to be trained side by side: locked, brought to where they were, placed on devices and compiled.

    Raises:
        ExperimentError: rows are split over devices and augmented on them, or calls of several steps do not end where
            something is to be done between two steps.
    """
    experiment, task = pairs[0][0], pairs[0][0].task_of_data
    _check_calls(layout.steps_per_call, experiment)
    with ExitStack() as stack:
        for _, run in pairs:
            stack.enter_context(run.in_use())
            if devices.is_first_process():
                run.note_machine()
        log = stack.enter_context(Log(experiment.steps, task.headline, speaks=devices.is_first_process()))
        stop = stack.enter_context(StopRequest())
        stack.enter_context(devices.memory_errors(experiment.batch_size, experiment.accumulate))
        stack.callback(cv2.setNumThreads, cv2.getNumThreads())
        cv2.setNumThreads(1)  # batches are made in threads already

        log.waiting(f"Opening {experiment.data.name}")
        splits = _splits(experiment.data)
        damaged = Damaged(splits.train, log.say_here)
        image = _image(experiment, damaged)
        if experiment.augment_on == "device" and layout.space > 1:
            raise ExperimentError(
                f"space is {layout.space}, and augmentation on the device moves rows from one strip to another: "
                "augment on the host."
            )
        devices.check_rows(experiment.model, jax.ShapeDtypeStruct(image.shape, image.dtype), layout.space)
        teams = _teams(pairs, layout, image, log.say)
        members = [member for team in teams for member in team.members]
        for member in members:
            stack.callback(member.history.close)
        step = _bring_back(members, layout.steps_per_call)
        for team in teams:
            for member in team.members:
                _start(member, team.placement)
                member.batches = training_batches(member.experiment, splits.train, member.step, damaged)

        log.waiting("Compiling the training step")
        speed = Speed(teams[0].placement.count)
        profiler = stack.enter_context(Profile(pairs[0][1].path if profile else None, first=step + LOG_EVERY))
        session = Session(task, teams, splits, damaged, image.shape[1:], step, log, stop, speed, profiler)
        session.compile()
        train, val, test = map(len, splits)
        log.start(
            step,
            f"{parameter_count(members[0].state.params):,} parameters, {train} training, {val} validation and {test} "
            f"test images, {experiment.steps} steps of {experiment.batch_size}"
            + (f", {len(members)} seeds" if len(members) > 1 else "")
            + f"; compiled in {speed.compile_seconds:.1f} s.",
        )
        yield session


def _splits(data: Dataset) -> Splits:
    """All three, of which the test split is read once, and the others are kept as far as there is room."""
    room = Room((usable_memory() or 0) // _SHARE_KEPT // jax.process_count())
    train, val = (kept_where_worth(opened_split(data, split), room) for split in ("train", "val"))
    return Splits(train, val, opened_split(data, "test"))


def _image(experiment: Experiment, damaged: Damaged) -> Num[np.ndarray, "1 h w c"]:
    """A black one of the size that the step is compiled for."""
    record, augment = damaged.example(), experiment.augment
    image = record["image"] if augment is None else augment(record, np.random.default_rng(0))["image"]
    return np.zeros((1, *image.shape), image.dtype)


def _teams(pairs: Pairs, layout: Layout, image: Num[np.ndarray, "1 h w c"], warn: Warn) -> list[Team]:
    """The runs at their first step, by the devices that they share."""
    waiting = iter(pairs)
    return [
        Team([_member(*next(waiting), placement, image, warn) for _ in range(count)], placement)
        for placement, count in devices.spread(layout, pairs[0][0].batch_size, len(pairs))
    ]


def _member(
    experiment: Experiment, run: Run, placement: Placement, image: Num[np.ndarray, "1 h w c"], warn: Warn
) -> Member:
    key = jax.random.key(experiment.seed)
    variables = initial_variables(experiment.model, image, key)
    return Member(
        experiment=experiment,
        run=run,
        checkpoints=Checkpoints(run.checkpoints, run.configuration()),
        history=History(run, experiment.task_of_data.headline, writes=devices.is_first_process(), warn=warn),
        key=placement.replicate(key),
        state=placement.state(_first_state(experiment, variables)),
    )


def _first_state(experiment: Experiment, variables: Variables) -> TrainState:
    zero = experiment.task_of_data.zero()
    return TrainState.initial(variables, experiment.optimizer, zero, ema=experiment.ema is not None)


def _check_calls(count: int, experiment: Experiment) -> None:
    """Refuse calls of so many steps that do not end where something is to be done between two steps."""
    counts(1, steps_per_call=count)
    if LOG_EVERY % count:
        raise ExperimentError(f"steps_per_call is {count}; every {LOG_EVERY} steps are logged: take 1, 2, 5 or 10.")
    ends = {"steps": experiment.steps, "evaluate_every": experiment.evaluate_every}
    if experiment.unfreezing is not None:
        ends["unfreeze_at"] = experiment.unfreezing.step
    for name, step in ends.items():
        if step % count:
            raise ExperimentError(
                f"steps_per_call is {count} and {name} {step}, which is no multiple of it; change one of them."
            )


def _bring_back(members: Sequence[Member], steps_per_call: int) -> int:
    """Bring every run to its newest checkpoint; returns the first step at which one of them goes on.

    All checkpoints are read before a row is forgotten, as one that cannot be read leaves everything as it was.
    """
    for member in members:
        member.restore()
        if not member.ended and member.step % steps_per_call:
            raise ExperimentError(
                f"steps_per_call is {steps_per_call}, and {member.run.path} goes on from step {member.step}, which is "
                "no multiple of it; go on with 1, or with as many as before."
            )
    for member in members:
        member.history.go_on_from(member.step)
    return min((member.step for member in members if not member.ended), default=max(one.step for one in members))


def _start(member: Member, placement: Placement) -> None:
    """Let the experiment change the initial variables of a run that has not begun."""
    experiment = member.experiment
    if experiment.start is not None and not member.progress:
        variables = started(jax.device_get(member.state.variables), experiment.start)
        member.state = placement.state(_first_state(experiment, variables))
