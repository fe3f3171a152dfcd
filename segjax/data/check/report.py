"""What reports on all kinds of data sets have in common: problems, sizes of images, and how they are printed."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.console import Console
from rich.markup import escape

from segjax.data.formats.images import shown
from segjax.data.formats.problems import Problem
from segjax.errors import counted

_LISTED = 20
"""Problems of a kind that are printed, at most."""


class AnyReport(Protocol):
    """A data set after every file of it was read."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or left out."""
        ...

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong."""
        ...

    @property
    def seconds(self) -> float:
        """How long reading took."""
        ...

    def describe(self, console: Console) -> None:
        """Print what the set has."""
        ...


def problem_facts(report: AnyReport) -> dict[str, Any]:
    """Notes, problems and the time, ready for `json.dump`."""
    tally = Counter(problem.severity for problem in report.problems)
    return {
        "notes": list(report.notes),
        "errors": tally["error"],
        "warnings": tally["warning"],
        "problems": [asdict(problem) for problem in report.problems],
        "seconds": round(report.seconds, 2),
    }


def size_facts(sizes: Iterable[tuple[int, int] | None]) -> dict[str, Any]:
    """The least, median and greatest height and width of images, ready for `json.dump`; zeros where there is none."""
    known = np.array([size for size in sizes if size] or [(0, 0)])
    return {
        name: {"min": int(side.min()), "median": float(np.median(side)), "max": int(side.max())}
        for name, side in (("height", known[:, 0]), ("width", known[:, 1]))
    }


def size_line(height: dict[str, Any], width: dict[str, Any]) -> str:
    """Say in one sentence what `size_facts` found."""
    return (
        f"Images are {height['min']} to {height['max']} pixels high and {width['min']} to {width['max']} wide "
        f"(medians {height['median']:g} and {width['median']:g})."
    )


def say(console: Console, text: str) -> None:
    """Print a line: names of files are no markup, and a sentence is not broken where the terminal ends."""
    console.print(escape(text), soft_wrap=True, highlight=False)


def print_report(report: AnyReport, console: Console | None = None) -> None:
    """Print what there is, notes and problems, of every kind of problem the first twenty."""
    console = console or Console()
    report.describe(console)
    for note in report.notes:
        say(console, note)
    kinds: defaultdict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in report.problems:
        kinds[problem.severity, problem.kind].append(problem)
    for (severity, kind), problems in sorted(kinds.items()):
        for problem in problems[:_LISTED]:
            say(console, f"{severity}: {problem.sentence}")
        if len(problems) > _LISTED:
            say(console, f"{severity}: ... and {len(problems) - _LISTED} more of the kind '{kind}'")
    tally = Counter(problem.severity for problem in report.problems)
    counts = ", ".join(counted(tally[kind], kind) for kind in ("error", "warning"))
    say(console, f"{counts}; read in {report.seconds:.1f} s")


def duplicates(
    train: Sequence[tuple[Path, bytes]], val: Sequence[tuple[Path, bytes]], test: Sequence[tuple[Path, bytes]]
) -> Iterator[Problem]:
    """Images of equal digests: twice in a split is a warning, in several an error."""
    first: dict[bytes, tuple[Path, str]] = {}
    for split, images in (("training", train), ("validation", val), ("testing", test)):
        for path, digest in images:
            other, other_split = first.setdefault(digest, (path, split))
            if other is path:
                continue
            same = f"{shown(path)} is"
            if split == other_split:
                sentence = f"{same} the same image as {shown(other)}: one of them is enough."
                yield Problem("duplicate", "warning", shown(path), sentence)
            else:
                sentence = (
                    f"{same} for {split} and is the same image as {shown(other)}, which is for {other_split}: take "
                    "one away or list both in one split."
                )
                yield Problem("leak", "error", shown(path), sentence)
