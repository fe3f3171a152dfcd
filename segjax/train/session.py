"""What the training loop does with the runs that it is given."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import jax

from segjax.data import Source
from segjax.report import write_report
from segjax.tasks.task import Task
from segjax.train import devices
from segjax.train.checkpoints import Progress
from segjax.train.damaged import Damaged
from segjax.train.evaluate import split_batches
from segjax.train.experiment import parameter_count
from segjax.train.history import validation_scores
from segjax.train.interruption import Interrupted, Stopped, StopRequest
from segjax.train.log import Log
from segjax.train.profile import Profile
from segjax.train.skipped import look_after_skipped
from segjax.train.speed import Speed
from segjax.train.state import Tally, Variables
from segjax.train.team import Member, Team

LOG_EVERY = 10
"""Steps that one row of the log sums up."""
DRAW_EVERY = 30.0
"""Seconds between curves that are drawn while training waits: a second each, which small runs have no time for."""


class Splits(NamedTuple):
    """The three parts of a data set."""

    train: Source
    val: Source
    test: Source


@dataclasses.dataclass
class Session:
    """Runs that are trained side by side, all at the same step, up to their end or to where someone asks to stop.

    One whose checkpoint is of a later step waits until the others have come as far.
    """

    task: Task
    all_teams: Sequence[Team]
    splits: Splits
    damaged: Damaged
    image: tuple[int, ...]
    """h w c of the one that the models' variables were made for."""
    step: int
    """How many steps are done."""
    log: Log
    stop: StopRequest
    speed: Speed
    profiler: Profile

    def __post_init__(self) -> None:
        self.members: list[Member] = [member for team in self.all_teams for member in team.members]
        self.last: int = self.members[0].experiment.steps
        """The number of the last step that there can be."""
        self._at_once = self.all_teams[0].placement.layout.steps_per_call
        self._waiting = [member for member in self.members if not member.ended and member.step > self.step]
        self._speaks = devices.is_first_process()
        self._began = self._drawn = time.perf_counter()
        self._timed = self.step
        self._logged = self.step - self.step % LOG_EVERY
        # On the host, where no step can use it up.
        self._zero = jax.device_get(Tally.zero(self.task.zero()))

    @property
    def teams(self) -> list[Team]:
        """Those with a run that is still trained."""
        return [team for team in self.all_teams if team.training]

    def steps(self) -> Iterator[int]:
        """The last step of every call that is to be made now; ends early where someone asks to stop."""
        self.speed.start()
        while True:
            self._take_in()
            if self.is_due() and not self.stop.agreed():  # runs that were stopped while they were scored begin with it
                self.validate()
            if not self.teams or self.stop.agreed():
                return
            unfreezing = self.members[0].experiment.unfreezing
            if unfreezing is not None and self.step == unfreezing.step:
                self._compile_again("Compiling the step that trains what was frozen")
            self.step += self._at_once
            yield self.step
            self.profiler.step(self.step, self.members[0].state)

    def is_due(self) -> bool:
        """Whether a run should be scored after this step and has not been."""
        every = self.members[0].experiment.evaluate_every
        return self.step > 0 and (self.step % every == 0 or self.step == self.last) and bool(self._unscored())

    def compile(self) -> None:
        """Compile a step of the runs that have not ended."""
        for team in self.all_teams:
            going = [member for member in team.members if not member.ended and member not in self._waiting]
            team.train(going, self.step)
        if self.teams:
            images = self.members[0].experiment.batch_size * len(self._training())
            self.speed.runs([team.program for team in self.teams], images)

    def log_training(self) -> None:
        """Keep a row of what the steps since the last one add up to, and look after steps that were skipped."""
        speed = self._lap()
        losses = []
        for team in self.teams:
            for member in team.training:
                summary = _summary(member.state.tally, self.task)
                losses.append(summary["loss"])
                member.history.keep(self.step, {"train": summary})
                member.history.show(self.step, speed)
                look_after_skipped(member, self.splits.train, self.damaged, self._logged, self.log.say)
                member.state = member.state.replace(tally=team.placement.replicate(self._zero))
        self.log.trained(self.step, losses, speed["images_per_second"])
        self._logged = self.step

    def save(self) -> None:
        """Begin to save every run that is still trained."""
        for member in self._training():
            seconds = member.seconds + time.perf_counter() - self._began
            member.progress = Progress(next_batch=self.step, train_seconds=seconds, image=self.image)
            member.checkpoints.save(self.step, member.state, member.progress)

    def validate(self) -> None:
        """Score every run on the validation split, and end those that are done; given up where someone asks to stop."""
        self._lap()  # scoring is not training
        self.log.waiting("Scoring the validation split")
        kinds: dict[str, Callable[[Member], Variables]] = {"val": lambda member: member.state.variables}
        if self.members[0].experiment.ema is not None:
            kinds["ema"] = lambda member: member.state.ema
        with contextlib.suppress(Stopped):
            scores = self._score(self._unscored(), kinds, self.splits.val, lambda _: self.task)
            for member, parts in scores:
                member.history.keep(self.step, parts)
                member.checkpoints.keep(member.history.best(member.checkpoints.steps()))
            self._show(self.step, scores)
            self._say_undefined([member for member, _ in scores])
            if time.perf_counter() - self._drawn >= DRAW_EVERY:
                self._draw_curves([member for member, _ in scores])
                self._drawn = time.perf_counter()
            self.compile()
        self.speed.start()

    def finish(self) -> list[dict[str, Any]]:
        """Score what the runs predict with on the test split, and report; returns the scores of every run.

        Raises:
            Interrupted: someone asked to stop before that was done; every run is saved.
        """
        if self.teams:
            self._interrupt()
        for member in self.members:
            member.take_what_it_predicts_with()
        self.log.waiting("Scoring the test split")
        untested = [member for member in self.members if member.tested is None]
        try:
            scores = self._score(
                untested, {"test": lambda member: member.predicting}, self.splits.test, lambda member: member.task
            )
        except Stopped:
            self._interrupt()
        for member, parts in scores:
            member.history.keep(member.history.rows[-1]["step"], parts, checkpoint=member.step)
        self._show(self.step, scores)
        for member in self.members:
            member.checkpoints.close()
        self.log.waiting("Drawing pictures")
        self._draw_curves(self.members)
        for member in self.members if self._speaks else ():
            variables = jax.device_get(member.predicting)  # this process draws alone, and arrays of all would wait
            seen = member.task.draw_predictions(member.run.path, member.experiment.model, variables, self.splits.test)
            self._report(member)
            write_report(member.run.path, member.task.headline, member.experiment.data, seen)
        return [found for member in self.members if (found := member.tested) is not None]

    def _take_in(self) -> None:
        """Train the runs that waited for this step as well; where no other is left, the next step is theirs."""
        if not self._waiting:
            return
        if not self.teams:
            self.step = self._timed = min(member.step for member in self._waiting)
            self._logged = self.step - self.step % LOG_EVERY
        joining = [member for member in self._waiting if member.step == self.step]
        for member in joining:
            self._waiting.remove(member)
            member.seconds -= time.perf_counter() - self._began  # waiting is not training
        if joining:
            self._compile_again("Compiling the step of more seeds")

    def _compile_again(self, what: str) -> None:
        self._lap()  # compiling is not training
        self.log.waiting(what)
        self.compile()
        self.speed.start()

    def _training(self) -> list[Member]:
        return [member for team in self.teams for member in team.training]

    def _unscored(self) -> list[Member]:
        return [member for member in self._training() if member.history.row_of(self.step, "val") is None]

    def _score(
        self,
        members: Sequence[Member],
        kinds: dict[str, Callable[[Member], Variables]],
        source: Source,
        task: Callable[[Member], Task],
    ) -> list[tuple[Member, dict[str, Any]]]:
        """The scores of some runs, by kind of variables; raises `Stopped` where someone asks to stop."""
        scores: list[tuple[Member, dict[str, Any]]] = []
        for team in self.all_teams:
            asked = [member for member in team.members if member in members]
            if asked:
                batches = self.stop.watch(split_batches(asked[0].experiment, source))
                found = iter(
                    team.score([(of(member), task(member)) for member in asked for of in kinds.values()], batches)
                )
                scores += [(member, {kind: next(found) for kind in kinds}) for member in asked]
        return scores

    def _show(self, step: int, scores: Sequence[tuple[Member, dict[str, Any]]]) -> None:
        """Scores of every run, for who watches."""
        if scores:
            self.log.scored(step, {kind: [parts[kind] for _, parts in scores] for kind in scores[0][1]})

    def _say_undefined(self, members: Sequence[Member]) -> None:
        """Say at the first look without a score that patience does not count it."""
        name, patience = self.task.headline, self.members[0].experiment.patience
        for member in members if patience is not None else ():
            looks = list(validation_scores(member.history.rows, name).values())
            if looks[-1] is None and looks.count(None) == 1:
                self.log.say(
                    f"The {name} of the validation split is undefined after step {self.step}: it has nothing there "
                    "that could be scored. Patience does not count such looks; see that the split has labels."
                )
                return

    def _draw_curves(self, members: Sequence[Member]) -> None:
        for member in members if self._speaks else ():
            self.task.draw_curves(member.run.path, member.history.rows)

    def _lap(self) -> dict[str, float]:
        """How fast the steps since the last time were."""
        speed = self.speed.lap(self.step - self._timed, sum(team.waited for team in self.all_teams))
        self._timed = self.step
        for team in self.all_teams:
            team.waited = 0.0
        return speed

    def _report(self, member: Member) -> None:
        """Write report.json; what was measured while a run was trained that had ended before stays."""
        validated = member.history.row_of(member.step, "val") or {}
        report = {part: validated[part] for part in ("val", "ema") if part in validated}
        unscored = member.history.best([member.step]) is None  # of a run without any score it is the last one
        which = "last" if unscored else member.experiment.predicts_with
        report |= {"test": member.tested, "checkpoint": which, "steps": member.step}
        report["train_seconds"] = round(member.progress["train_seconds"], 1)
        if self.damaged.numbers:
            report["damaged_records"] = sorted(self.damaged.numbers)
        measured = {"parameters": parameter_count(member.state.params)} | self.speed.report()
        if not self.speed.programs and (member.run.path / "report.json").exists():
            measured = {name: value for name, value in member.run.report().items() if name not in ("val", "ema")}
        measured = {name: value for name, value in measured.items() if name not in report}
        member.run.write_json("report.json", report | measured)

    def _interrupt(self) -> NoReturn:
        self.save()
        for member in self.members:
            member.checkpoints.close()
        raise Interrupted(self.stop.signal or signal.SIGTERM, self.step)  # another process may have been asked


def _summary(tally: Tally, task: Task) -> dict[str, Any]:
    tally = jax.device_get(tally)
    if not tally.steps:
        return {"loss": None, "gradient_norm": None}
    means = {name: float(getattr(tally, name) / tally.steps) for name in ("loss", "gradient_norm")}
    return means | task.summary(tally.counts)
