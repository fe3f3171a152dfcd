"""How far something has come: a bar in a terminal; in a log that is none, such as a file, a line now and then."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

QUIET_SECONDS = 30.0
"""How long a log that is no terminal says nothing."""

Item = TypeVar("Item")


class NeverSilent:
    """While entered, says what `state` returns whenever nothing was said for long; in a terminal it says nothing.

    Whoever says something else calls `spoke()`.
    """

    def __init__(self, state: Callable[[], str], say: Callable[[str], None] | None = None) -> None:
        self._state = state
        self._say = say or (lambda sentence: print(sentence, file=sys.stderr, flush=True))
        self._ended = threading.Event()
        self._spoke = time.monotonic()

    def __enter__(self) -> "NeverSilent":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to watch."""
        self.spoke()
        if not sys.stderr.isatty():
            threading.Thread(target=self._break_silence, daemon=True).start()

    def stop(self) -> None:
        """Say nothing any more."""
        self._ended.set()

    def spoke(self) -> None:
        """Something was said now."""
        self._spoke = time.monotonic()

    def _break_silence(self) -> None:
        while not self._ended.wait(max(self._spoke + QUIET_SECONDS - time.monotonic(), 0.0)):
            if time.monotonic() - self._spoke >= QUIET_SECONDS:
                self.spoke()
                self._say(self._state())


class Bar:
    """How many of some images or frames are done, how fast, and how long the rest will take; `total` may be unknown.

    Where there is no terminal, `sums_up` says at the end how many there were.
    """

    def __init__(self, unit: str, total: int | None, *, sums_up: bool = False) -> None:
        self._unit = unit
        self._sums_up = sums_up
        self._draws = sys.stderr.isatty()
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(unit),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("", total=total)
        self._never_silent = NeverSilent(self._state, self.say)

    def __enter__(self) -> "Bar":
        if self._draws:
            self._progress.start()
        self._never_silent.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._never_silent.stop()
        if self._draws:
            self._progress.stop()
        elif self._sums_up:
            self.say(self._state())

    def advance(self, share: float = 1.0) -> None:
        """Move on by one, or by a share of one."""
        self._progress.advance(self._task, share)

    def reached(self, number: int) -> None:
        """Say how many are done."""
        self._progress.update(self._task, completed=number)

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, each of which moves on by one."""
        for item in items:
            yield item
            self.advance()

    def say(self, sentence: str) -> None:
        """Print a sentence above the bar."""
        self._never_silent.spoke()
        self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def _state(self) -> str:
        (task,) = self._progress.tasks
        of = "" if task.total is None else f"/{task.total:.0f}"
        said = f"{task.completed:.0f}{of} {self._unit}"
        if task.completed and task.elapsed:
            said += f"  {task.completed / task.elapsed:.3g} {self._unit}/s"
            if task.total is not None and task.completed < task.total:
                left = task.elapsed / task.completed * (task.total - task.completed)
                said += f"  {clock(left)} left"
        return said


class _Speed(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / task.elapsed:.3g} {self._unit}/s" if task.elapsed else "")


def clock(seconds: float) -> str:
    """A time in the two largest of hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
