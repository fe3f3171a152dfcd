"""What commands print."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LISTED = 255
"""Classes whose scores are printed, at most."""


def fail(sentence: str) -> int:
    """Say what is wrong; returns the exit code."""
    print(f"segjax: {sentence}", file=sys.stderr)
    return 1


def say_unfinished(run: str) -> None:
    """Say of a run that is still to be trained that it is used as it is; of a saved model there is nothing to say."""
    if (Path(run) / "run.json").exists() and not (Path(run) / "report.json").exists():
        print(f"{run} is not finished: what it has learned so far is used.", file=sys.stderr)


def print_scores(scores: dict[str, Any]) -> None:
    """Scores by class first, then those of the whole split."""

    def shown(value: Any) -> str:
        return "undefined" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    for name, value in scores.items():
        if isinstance(value, dict):
            for one, of_class in [*value.items()][:_LISTED]:
                print(f"  {name:<6} {one:<20} {shown(of_class)}")
            if len(value) > _LISTED:
                print(f"  {name:<6} ... and {len(value) - _LISTED} more, which report.json has")
    print("  " + "   ".join(f"{name} {shown(value)}" for name, value in scores.items() if not isinstance(value, dict)))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
