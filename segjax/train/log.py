"""What a person sees while training, and the rows that stay."""

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

from segjax.train.run import Run


class Log:
    """A progress bar with loss, mIoU, images/s and time left; metrics.jsonl and TensorBoard events in the run folder.

    What depends on the machine's speed goes to TensorBoard alone, so that metrics.jsonl is the same bits every time.
    """

    def __init__(self, run: Run, steps: int, batch_size: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self._run = run
        self._steps = steps
        self._batch_size = batch_size
        self._console = Console(file=sys.stderr)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("Starting", total=None, numbers="")
        self._events: SummaryWriter | None = None
        self._loss = ""
        self._test = ""
        self._clock = (0, time.perf_counter())

    def __enter__(self) -> "Log":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        if self._events is not None:
            self._events.close()

    def waiting(self, what: str) -> None:
        """Say what the run is waiting for."""
        self._progress.update(self._task, description=what)
        if not self._console.is_terminal and self._events is None:
            self._console.print(f"{what} ...", soft_wrap=True)

    def start(self, step: int, parameters: int, train_size: int, test_size: int) -> None:
        """Begin to count at `step`; the rows until there are read back."""
        self.rows = self._run.metrics()
        self._events = SummaryWriter(str(self._run.path), purge_step=step + 1 if step else None)
        whence = f"Going on from step {step}" if step else "Training"
        self._console.print(
            f"{whence}: {parameters:,} parameters, {train_size} training and {test_size} test images, "
            f"{self._steps} steps of {self._batch_size}. The first step compiles.",
            soft_wrap=True,
        )
        self._progress.update(self._task, description="Compiling", total=self._steps, completed=step)
        self._clock = (step, time.perf_counter())

    def row(self, row: dict[str, Any]) -> None:
        """Keep one row: its step, and the scores of `train` or `test`."""
        self._run.append_metrics([row])
        self.rows.append(row)
        step = row["step"]
        assert self._events is not None
        if "train" in row:
            images_per_second = self._rate(step)
            self._events.add_scalar("images_per_second", images_per_second, step)
            self._loss = f"loss {row['train']['loss']:.3f}  {images_per_second:.0f} images/s"
        else:
            self._test = f"test mIoU {row['test']['miou']:.3f}  "
            self._console.print(f"step {step:>6}/{self._steps}  {self._test}{self._loss}", soft_wrap=True)
            self._clock = (step, time.perf_counter())
        for split in row.keys() & {"train", "test"}:
            for name, value in _flat(row[split]):
                self._events.add_scalar(f"{split}/{name}", value, step)
        self._progress.update(self._task, description="Training", completed=step, numbers=self._test + self._loss)

    def _rate(self, step: int) -> float:
        before, then = self._clock
        self._clock = (step, time.perf_counter())
        return (step - before) * self._batch_size / (self._clock[1] - then)


def _flat(scores: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    pairs = []
    for name, value in scores.items():
        if isinstance(value, dict):
            pairs += _flat(value, f"{prefix}{name}/")
        elif value is not None:
            pairs.append((prefix + name, value))
    return pairs
