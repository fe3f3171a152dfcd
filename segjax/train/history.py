"""The rows that stay of one run, and what they say of its checkpoints."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from segjax.errors import ExperimentError
from segjax.train.loggers import Loggers
from segjax.train.run import Run

Row = dict[str, Any]
"""`step` and the scores of one or more parts: `train`; `val` and, where averaged weights are kept, `ema`; `test`.

One with `test` says of which step the `checkpoint` is that was tested.
"""


class History:
    """The rows of metrics.jsonl up to now; with `writes`, they go there and to the run's loggers.

    What depends on the machine's speed goes to loggers alone, so that metrics.jsonl is the same bits every time.
    `warn` is told what becomes of a logger that fails.
    """

    def __init__(self, run: Run, headline: str, *, writes: bool, warn: Callable[[str], None]) -> None:
        self.rows: list[Row] = []
        self._run = run
        self._headline = headline
        self._writes = writes
        self._warn = warn
        self._loggers: Loggers | None = None

    def read(self, step: int) -> None:
        """Read the rows up to that step back."""
        self.rows = [row for row in self._run.metrics() if row["step"] <= step]

    def go_on_from(self, step: int) -> None:
        """Read the rows up to that step back, and forget those after it, which will be written again."""
        self.read(step)
        if self._writes:
            self._run.forget_metrics_after(step)
            self._loggers = Loggers(self._run, step, self._warn)

    def keep(self, step: int, parts: dict[str, dict[str, Any]], **facts: int) -> None:
        """Add a row; it is on disk when this returns."""
        row = {"step": step} | facts | parts
        self.rows.append(row)
        if self._writes:
            self._run.append_metrics([row])
            self.show(step, {name: value for name, value in flat_scores(parts) if value is not None})

    def show(self, step: int, numbers: dict[str, float]) -> None:
        """Numbers for loggers alone."""
        if self._loggers is not None:
            self._loggers.show(step, numbers)

    def close(self) -> None:
        """Let go of the loggers."""
        if self._loggers is not None:
            self._loggers.close(finished=bool(self.rows) and "test" in self.rows[-1])

    def row_of(self, step: int, part: str) -> Row | None:
        """The row of that step with that part."""
        return next((row for row in self.rows if row["step"] == step and part in row), None)

    def row_with(self, part: str) -> Row | None:
        """The last row with that part."""
        return next((row for row in reversed(self.rows) if part in row), None)

    def test_of(self, checkpoint: int) -> dict[str, Any] | None:
        """The scores on the test split of that step's checkpoint; None unless it was tested after the last step."""
        last = self.rows[-1]["step"] if self.rows else None
        tests = {row.get("checkpoint"): row["test"] for row in self.rows if row["step"] == last and "test" in row}
        return tests.get(checkpoint)

    def best(self, among: Collection[int]) -> int | None:
        """`best_step` of these rows."""
        return best_step(self.rows, self._headline, among)

    def looks_since_best(self) -> int:
        """How many looks at the validation split with a score came after the first one with the best score.

        One whose score is undefined is neither better nor worse, and is not counted.
        """
        scores = validation_scores(self.rows, self._headline).values()
        found = [score for score in scores if score is not None]
        return len(found) - 1 - found.index(max(found)) if found else 0


def best_step(rows: Sequence[Row], headline: str, among: Collection[int]) -> int | None:
    """Of some steps, the last one with the best headline score on the validation split; None where none has any."""
    scores = validation_scores(rows, headline)
    found = {step: score for step, score in scores.items() if score is not None and step in among}
    return max(found, key=lambda step: (found[step], step), default=None)


def validation_scores(rows: Sequence[Row], headline: str) -> dict[int, float | None]:
    """By step, the headline score on the validation split; of the averaged weights where those are kept.

    Raises:
        ExperimentError: a row is no longer what a run writes, as it has no such score.
    """
    scores = {row["step"]: row.get("ema", row["val"]) for row in rows if "val" in row}
    for step, found in scores.items():
        if headline not in found:
            raise ExperimentError(
                f"metrics.jsonl is damaged (its row of step {step} has no {headline}); put back the one that the run "
                "wrote."
            )
    return {step: found[headline] for step, found in scores.items()}


def validated(rows: Sequence[Row], step: int) -> dict[str, Any] | None:
    """The scores on the validation split at a step, of the averaged weights where those are kept; None without any."""
    row = next((row for row in rows if row["step"] == step and "val" in row), None)
    return None if row is None else row.get("ema", row["val"])


def flat_scores(scores: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every score with its name; by class as `iou/water`."""
    for name, value in scores.items():
        if isinstance(value, dict):
            yield from flat_scores(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value
