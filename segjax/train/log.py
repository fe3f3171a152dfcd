"""What a person sees while training, and the rows that stay."""

import statistics
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from segjax.train.run import Run

# tensorboardX imports torch where it finds it, for the name of a type alone; that takes a second.
torch = sys.modules.get("torch")
sys.modules["torch"] = torch  # type: ignore[assignment]  (None: it is not found)
try:
    from tensorboardX import SummaryWriter
finally:
    if torch is None:
        del sys.modules["torch"]

Rows = list[dict[str, Any]]


class Log:
    """A progress bar with loss, score, images/s and time left; metrics.jsonl and TensorBoard events for every run.

    What depends on the machine's speed goes to TensorBoard alone, so that metrics.jsonl is the same bits every time.
    Runs that are trained together share the bar, which shows their means. Only the process with `speaks` writes.
    """

    def __init__(self, runs: Sequence[Run], steps: int, headline: str, *, speaks: bool) -> None:
        self.rows: list[Rows] = [[] for _ in runs]
        """Per run, the rows up to now."""
        self._runs = runs
        self._steps = steps
        self._headline = headline
        self._speaks = speaks
        self._console = Console(file=sys.stderr)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (speaks and self._console.is_terminal),
        )
        self._task = self._progress.add_task("Starting", total=None, numbers="")
        self._events: list[SummaryWriter] = []
        self._started = False
        self._loss = ""
        self._test = ""

    def __enter__(self) -> "Log":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        for events in self._events:
            events.close()

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
        self._console.print(sentence, soft_wrap=True, markup=False, highlight=False)

    def start(self, step: int, what: str) -> None:
        """Begin to count at `step`; the rows until there are read back."""
        self.rows = [run.metrics() for run in self._runs]
        if self._speaks:
            self._events = [SummaryWriter(str(run.path), purge_step=step + 1 if step else None) for run in self._runs]
        self.say(f"{f'Going on from step {step}' if step else 'Training'}: {what}")
        self._started = True
        self._progress.update(self._task, description="Training", total=self._steps, completed=step)

    def train(self, step: int, rows: Sequence[dict[str, Any]], speed: dict[str, float]) -> None:
        """Keep what the last steps of every run add up to, and show how fast they were."""
        self._keep(step, {"train": rows})
        losses = [row["loss"] for row in rows if row["loss"] is not None]
        loss = f"{statistics.fmean(losses):.3f}" if losses else "none"
        self._loss = f"loss {loss}  {speed['images_per_second']:.0f} images/s"
        for events in self._events:
            for name, value in speed.items():
                events.add_scalar(name, value, step)
        self._progress.update(self._task, completed=step, numbers=self._test + self._loss)

    def test(self, step: int, scores: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        """Keep the scores of every run: those of `test`, and of `ema` where there are averaged weights."""
        self._keep(step, scores)
        self._test = ""
        for split, of_runs in scores.items():
            found = [score[self._headline] for score in of_runs if score[self._headline] is not None]
            mean = f"{statistics.fmean(found):.3f}" if found else "undefined"
            self._test += f"{split} {self._headline} {mean}  "
        self.say(f"step {step:>6}/{self._steps}  {self._test}{self._loss}")
        self._progress.update(self._task, description="Training", completed=step, numbers=self._test + self._loss)

    def _keep(self, step: int, parts: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        for i, run in enumerate(self._runs):
            row = {"step": step} | {name: of_runs[i] for name, of_runs in parts.items()}
            self.rows[i].append(row)
            if self._speaks:
                run.append_metrics([row])
                for name in parts:
                    for score, value in _flat(parts[name][i]):
                        self._events[i].add_scalar(f"{name}/{score}", value, step)


def _flat(scores: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    pairs = []
    for name, value in scores.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}/")
        elif value is not None:
            pairs.append((prefix + name, value))
    return pairs
