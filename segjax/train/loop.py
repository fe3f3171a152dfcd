"""The training loop, top to bottom."""

import itertools
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from segjax.data import Source, test_batches, train_batches
from segjax.errors import ExperimentError
from segjax.tasks.task import Task
from segjax.train import devices
from segjax.train.checkpoints import Checkpoints
from segjax.train.damaged import Damaged
from segjax.train.devices import Layout, Placement
from segjax.train.diagnose import first_bad_layer
from segjax.train.evaluate import EvaluationStep, evaluate, initial_variables, make_evaluation_step
from segjax.train.experiment import Experiment, parameter_count
from segjax.train.interruption import Interrupted, Stopped, StopRequest
from segjax.train.log import Log
from segjax.train.profile import Profile
from segjax.train.run import Run
from segjax.train.speed import Speed
from segjax.train.state import Tally, TrainState
from segjax.train.step import one_step

LOG_EVERY = 10
"""Steps that one row of the log sums up."""


@dataclass
class Member:
    """One of the runs that are trained side by side, which differ in their seed alone."""

    experiment: Experiment
    run: Run
    checkpoints: Checkpoints
    placement: Placement
    key: Array
    state: TrainState
    batches: Iterator[Any]
    seconds: float = 0.0


def train(experiment: Experiment, run: Run, layout: Layout = Layout(), *, profile: bool = False) -> dict[str, Any]:
    """Train an experiment to its last step, from the newest checkpoint in the run folder or from the start.

    Leaves in the folder what `Run` lists, and returns the scores on the test split. Ctrl-C or SIGTERM saves a
    checkpoint and then raises `Interrupted`.
    """
    return train_together([(experiment, run)], layout, profile=profile)[0]


def train_together(
    pairs: Sequence[tuple[Experiment, Run]], layout: Layout = Layout(), *, profile: bool = False
) -> list[dict[str, Any]]:
    """Train one experiment with several seeds side by side; every run is the same as if it were trained alone.

    With as many devices as runs each run has devices of its own. Otherwise all share all devices, and one program
    takes a step of every run: on 2 CPU cores that is 5% faster than one program after another, and a mapped axis
    takes 1.7 times as long, because XLA's grouped convolutions are slow.
    """
    experiment = pairs[0][0]
    task = experiment.task(experiment.data)
    data, steps = experiment.data, experiment.steps
    speaks = devices.is_first_process()
    with ExitStack() as stack:
        for _, run in pairs:
            stack.enter_context(run.in_use())
            if speaks:
                run.note_machine()
        log = stack.enter_context(Log([run for _, run in pairs], steps, task.headline, speaks=speaks))
        stop = stack.enter_context(StopRequest())
        stack.enter_context(devices.memory_errors(experiment.batch_size, experiment.accumulate))
        log.waiting(f"Opening {data.name}")
        train_source, test_source = data.open("train"), data.open("test")
        damaged = Damaged(train_source, log.say_here)
        image = np.zeros((1, *damaged.example()["image"].shape), np.uint8)
        devices.check_rows(experiment.model, jax.ShapeDtypeStruct(image.shape, np.uint8), layout.space)

        groups = devices.spread(layout, experiment.batch_size, len(pairs))
        members = [
            _member(one, run, group, task, image)
            for (one, run), group in zip(pairs, [g for g, n in groups for _ in range(n)], strict=True)
        ]
        step = min(member.checkpoints.latest() for member in members)
        for member in members:
            if step:
                member.state, progress = member.checkpoints.restore(step, member.state)
                member.seconds = progress["train_seconds"]
            if speaks:
                member.run.forget_metrics_after(step)
            member.batches = _batches(member.experiment, train_source, step, damaged)
        log.waiting("Compiling the training step")
        together = [[m for m in members if m.placement is group] for group, _ in groups]
        programs = [_compile(group, task) for group in together]
        scoring = [make_evaluation_step(experiment.model, task, group[0].placement) for group in together]
        speed = Speed(programs, experiment.batch_size * len(members), groups[0][0].count)
        log.start(
            step,
            f"{parameter_count(members[0].state.params):,} parameters, {len(train_source)} training and "
            f"{len(test_source)} test images, {steps} steps of {experiment.batch_size}"
            + (f", {len(members)} seeds" if len(members) > 1 else "")
            + f"; compiled in {speed.report()['compile_seconds']:.1f} s.",
        )
        zero = jax.device_get(Tally.zero(task.zero()))  # on the host, where no step can use it up
        profiler = stack.enter_context(Profile(pairs[0][1].path if profile else None, first=step + LOG_EVERY))
        reports: list[dict[str, Any]] = [_report(step, member.seconds) for member in members]
        began, counted = time.perf_counter(), step
        speed.start()
        # A run that was stopped while it looked at the test split begins with that.
        due = _is_due(step, experiment) and not any(row["step"] == step and "test" in row for row in log.rows[0])
        while (step < steps or due) and not stop.agreed():
            if not due:
                for group, program in zip(together, programs, strict=True):
                    waited = time.perf_counter()
                    batches = tuple(member.placement.batch(next(member.batches)) for member in group)
                    speed.waited += time.perf_counter() - waited
                    states = program.run(tuple(m.state for m in group), batches, tuple(m.key for m in group))
                    for member, state in zip(group, states, strict=True):
                        member.state = state
                step += 1
                profiler.step(step, members[0].state)
                due = _is_due(step, experiment)
                if step % LOG_EVERY == 0 or step == steps:
                    log.train(
                        step, [_summary(member.state.tally, task) for member in members], speed.lap(step - counted)
                    )
                    for member in members:
                        _look_after_skipped(member, task, train_source, damaged, counted, log)
                        member.state = member.state.replace(tally=member.placement.replicate(zero))
                    counted = step
            if due:
                speed.lap(step - counted)
                counted = step
                log.waiting("Scoring the test split")
                try:
                    scores = _score(together, scoring, task, test_source, stop)
                except Stopped:
                    break
                due = False
                log.test(step, scores)
                best = scores.get("ema", scores["test"])
                for i, member in enumerate(members):
                    if speaks:
                        task.draw_curves(member.run.path, log.rows[i])
                    progress = _progress(member, image, began)
                    reports[i] = _report(step, progress["train_seconds"])
                    member.checkpoints.save(step, member.state, progress, best[i][task.headline])
                speed.start()
        if step < steps or due:
            for member in members:
                member.checkpoints.save(step, member.state, _progress(member, image, began))
                member.checkpoints.close()
            raise Interrupted(stop.signal or signal.SIGTERM, step)  # another process may have been asked
        for member in members:
            member.checkpoints.close()

        log.waiting("Drawing pictures")
        results = []
        for i, member in enumerate(members):
            row = next(row for row in reversed(log.rows[i]) if "test" in row)
            results.append(row.get("ema", row["test"]))
            if speaks:
                variables = member.state.ema or member.state.variables
                task.draw_predictions(member.run.path, experiment.model, variables, test_source)
                report = {name: row[name] for name in ("test", "ema") if name in row} | reports[i]
                if damaged.numbers:
                    report["damaged_records"] = sorted(damaged.numbers)
                report |= {"parameters": parameter_count(member.state.params)} | speed.report()
                member.run.write_json("report.json", report)
        return results


def _member(experiment: Experiment, run: Run, placement: Placement, task: Task, image: np.ndarray) -> Member:
    key = jax.random.key(experiment.seed)
    variables = initial_variables(experiment.model, image, key)
    state = TrainState.initial(variables, experiment.optimizer, task.zero(), ema=experiment.ema is not None)
    return Member(
        experiment=experiment,
        run=run,
        checkpoints=Checkpoints(run.checkpoints, run.configuration()),
        placement=placement,
        key=placement.replicate(key),
        state=placement.state(state),
        batches=iter(()),
    )


def _batches(experiment: Experiment, source: Source, start: int, damaged: Damaged) -> Iterator[Any]:
    shard = (jax.process_index(), jax.process_count())
    return train_batches(
        source,
        experiment.batch_size,
        seed=experiment.seed,
        augment=experiment.augment,
        start=start,
        shard=shard,
        max_boxes=experiment.max_boxes,
        damaged=damaged,
    )


def _compile(group: Sequence[Member], task: Task) -> devices.Program:
    """One program that takes a step of every run of a group."""
    experiment = group[0].experiment

    def step(states: Any, batches: Any, keys: Any, axis: str | None = None) -> Any:
        return tuple(
            one_step(*one, experiment=experiment, task=task, axis=axis)
            for one in zip(states, batches, keys, strict=True)
        )

    batches = []
    for member in group:
        first = next(member.batches)
        member.batches = itertools.chain([first], member.batches)
        batches.append(member.placement.batch(first))
    states, keys = tuple(m.state for m in group), tuple(m.key for m in group)
    return group[0].placement.compile(step, states, tuple(batches), keys)


def _is_due(step: int, experiment: Experiment) -> bool:
    """Whether the test split is looked at after this step."""
    return step > 0 and (step % experiment.evaluate_every == 0 or step == experiment.steps)


def _score(
    together: Sequence[Sequence[Member]],
    steps: Sequence[EvaluationStep],
    task: Task,
    source: Source,
    stop: StopRequest,
) -> dict[str, list[dict[str, Any]]]:
    """The scores of every run, with its weights as they are and as averaged; raises `Stopped` where it should stop."""
    scores: dict[str, list[dict[str, Any]]] = {}
    for group, step in zip(together, steps, strict=True):
        kinds = {"test": [m.state.variables for m in group]}
        if group[0].experiment.ema is not None:
            kinds["ema"] = [m.state.ema for m in group]
        experiment, shard = group[0].experiment, (jax.process_index(), jax.process_count())
        batches = test_batches(source, experiment.batch_size, shard=shard, max_boxes=experiment.max_boxes)
        members = [variables for kind in kinds.values() for variables in kind]
        found = iter(evaluate(step, task, members, stop.watch(batches), group[0].placement))
        for kind, variables in kinds.items():
            scores.setdefault(kind, []).extend(next(found) for _ in variables)
    return scores


def _progress(member: Member, image: np.ndarray, began: float) -> dict[str, float]:
    return {"train_seconds": member.seconds + time.perf_counter() - began, "channels": image.shape[-1]}


def _report(step: int, seconds: float) -> dict[str, Any]:
    return {"steps": step, "train_seconds": round(seconds, 1)}


def _summary(tally: Tally, task: Task) -> dict[str, Any]:
    tally = jax.device_get(tally)
    if not tally.steps:
        return {"loss": None, "gradient_norm": None}
    means = {name: float(getattr(tally, name) / tally.steps) for name in ("loss", "gradient_norm")}
    return means | task.summary(tally.counts)


def _look_after_skipped(member: Member, task: Task, source: Source, damaged: Damaged, counted: int, log: Log) -> None:
    """Save the batch of a step that was skipped since step `counted`, and stop after too many in a row."""
    last, in_a_row = int(member.state.skipped.last), int(member.state.skipped.in_a_row)
    if last <= counted:
        return
    experiment = member.experiment
    batch = next(_batches(experiment, source, last - 1, damaged))
    folder = member.run.path / "skipped"
    folder.mkdir(exist_ok=True)
    file = folder / f"batch_of_step_{last}.npz"
    np.savez_compressed(file, **batch)
    log.say(f"Step {last} was skipped: its loss or gradient was not finite. Its batch is in {file}.")
    if in_a_row >= experiment.max_skipped:
        state = member.state.replace(opt_state=(), ema={}, tally=None)
        where = first_bad_layer(experiment, task, jax.device_get(state), batch, member.key)
        raise ExperimentError(
            f"{in_a_row} steps in a row were not finite, up to step {last}; what is not finite first is {where}. "
            "Lower the learning rate or clip the gradient, then go on from the last checkpoint with `--resume`; "
            f"the last batch is in {file}."
        )
