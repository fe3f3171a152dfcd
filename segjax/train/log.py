"""What a person sees while training."""

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from segjax.progress import NeverSilent, clock


class Log:
    """A progress bar with loss, score, images/s and time left, and a line for every look at a split.

    Where there is no terminal to draw a bar in, the same numbers are a line whenever it has been quiet for long, also
    while something is compiled or scored. Runs that are trained together share it; it shows their means. Only the
    process with `speaks` prints.
    """

    def __init__(self, steps: int, headline: str, *, speaks: bool) -> None:
        self._steps = steps
        self._headline = headline
        self._speaks = speaks
        self._console = Console(file=sys.stderr)
        self._draws = speaks and self._console.is_terminal
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._draws,
        )
        self._task = self._progress.add_task("Starting", total=None, numbers="")
        self._started = False
        self._loss = ""
        self._scores = ""
        self._since = time.monotonic()
        self._first = 0
        self._never_silent = NeverSilent(self._state, self.say)

    def __enter__(self) -> "Log":
        if self._draws:
            self._progress.start()
        if self._speaks:
            self._never_silent.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._never_silent.stop()
        if self._draws:  # or older versions of rich end a line that was never begun
            self._progress.stop()

    def waiting(self, what: str) -> None:
        """Say what the run is waiting for."""
        self._progress.update(self._task, description=what)
        if not self._console.is_terminal and not self._started:
            self.say(f"{what} ...")

    def say(self, sentence: str) -> None:
        """Print a line above the bar."""
        if self._speaks:
            self.say_here(sentence)

    def say_here(self, sentence: str) -> None:
        """Print a line about what this process alone can know."""
        self._never_silent.spoke()
        self._console.print(sentence, soft_wrap=True, markup=False, highlight=False)

    def start(self, step: int, what: str) -> None:
        """Begin to count at `step`."""
        self.say(f"{f'Going on from step {step}' if step else 'Training'}: {what}")
        self._started = True
        self._since, self._first = time.monotonic(), step
        self._progress.update(self._task, description="Training", total=self._steps, completed=step)

    def trained(self, step: int, losses: Sequence[float | None], images_per_second: float) -> None:
        """Show the loss of every run over the last steps, None where none was applied, and how fast they were."""
        known = [loss for loss in losses if loss is not None]
        loss = f"{statistics.fmean(known):.3f}" if known else "none"
        self._loss = f"loss {loss}  {images_per_second:.0f} images/s"
        self._progress.update(self._task, completed=step, numbers=self._scores + self._loss)

    def scored(self, step: int, parts: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        """Show the scores of every run by part: `val` and, where there are averaged weights, `ema`; or `test`."""
        self._scores = ""
        for part, of_runs in parts.items():
            found = [scores[self._headline] for scores in of_runs if scores[self._headline] is not None]
            mean = f"{statistics.fmean(found):.3f}" if found else "undefined"
            self._scores += f"{part} {self._headline} {mean}  "
        self.say(f"step {step:>6}/{self._steps}  {self._scores}{self._loss}")
        self._progress.update(self._task, description="Training", completed=step, numbers=self._scores + self._loss)

    def _state(self) -> str:
        """What the bar would show."""
        (bar,) = self._progress.tasks
        if not self._started:
            return f"{bar.description}, for {clock(time.monotonic() - self._since)} so far ..."
        step = int(bar.completed)
        said = f"step {step:>6}/{self._steps}  {self._scores}{self._loss}"
        if step > self._first:
            took = (time.monotonic() - self._since) / (step - self._first)
            said += f"  {clock(took * (self._steps - step))} left"
        return said if bar.description == "Training" else f"{said}  ({bar.description} ...)"
