"""What checking a folder found out, as a refusal, as JSON and as text for a terminal."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segjax.data.classes import ClassList
from segjax.data.layouts import Pair, Problem
from segjax.data.record import IGNORE, DataError
from segjax.data.splits import Splits


@dataclass(frozen=True)
class Seen:
    """What reading one pair told; None and zeros where it could not be read."""

    pair: Pair
    size: tuple[int, int] | None
    """Height and width of the picture."""
    mean: Float64[np.ndarray, "3"]
    """Of every channel of the picture, in 0..1."""
    std: Float64[np.ndarray, "3"]
    digest: bytes
    """Of the decoded picture: equal pictures have equal ones, whatever format they are saved in."""
    counts: Int64[np.ndarray, "256"]
    """How many pixels of the mask have each value."""
    coloured: bool
    """The values of the mask come from a table of colours."""
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep the pair from being used."""
        return [problem for problem in self.problems if problem.severity == "error"]


@dataclass(frozen=True)
class Report:
    """A folder after every file in it was read."""

    root: str
    tool: str
    """Whose layout the folder has."""
    classes: ClassList
    levels: UInt8[np.ndarray, "256"] | None
    """The class of every grey level, where it is not that number itself."""
    splits: Splits
    train: tuple[Seen, ...]
    test: tuple[Seen, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    seconds: float

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep the folder from training."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def refuse(self) -> None:
        """Raise DataError with the first ten errors, if there are any."""
        if not self.errors:
            return
        lines = [problem.sentence for problem in self.errors[:10]]
        if len(self.errors) > 10:
            lines.append(f"... and {len(self.errors) - 10} more errors.")
        lines.append(f"`segjax data check {shlex.quote(self.root)}` lists everything that is wrong.")
        raise DataError("\n".join(lines))

    def frequencies(self, seen: Sequence[Seen]) -> Float64[np.ndarray, "k"]:
        """The share of every class in the pixels that are not ignored; zeros where there are none."""
        counts = sum((one.counts for one in seen), np.zeros(256, np.int64))[: len(self.classes.names)]
        return counts / max(1, counts.sum())

    def to_json(self) -> dict[str, Any]:
        """Everything but the pairs themselves, ready for `json.dump`."""
        train, test = self.frequencies(self.train), self.frequencies(self.test)
        sizes = np.array([one.size for one in self.train + self.test if one.size] or [(0, 0)])
        return {
            "root": self.root,
            "layout": self.tool,
            "pairs": {"train": len(self.train), "test": len(self.test)},
            "split_by_hash": self.splits.by_hash,
            "height": {
                "min": int(sizes[:, 0].min()),
                "median": float(np.median(sizes[:, 0])),
                "max": int(sizes[:, 0].max()),
            },
            "width": {
                "min": int(sizes[:, 1].min()),
                "median": float(np.median(sizes[:, 1])),
                "max": int(sizes[:, 1].max()),
            },
            "class_frequencies": {
                name: {"train": float(train[i]), "test": float(test[i])} for i, name in enumerate(self.classes.names)
            },
            "ignored_pixels": int(sum(one.counts[IGNORE] for one in self.train + self.test)),
            "notes": list(self.notes),
            "errors": len(self.errors),
            "warnings": len(self.problems) - len(self.errors),
            "problems": [asdict(problem) for problem in self.problems],
            "seconds": round(self.seconds, 2),
        }


def print_report(report: Report, console: Console | None = None, most: int = 20) -> None:
    """Print counts, class frequencies, notes and problems, of every kind of problem the first `most`."""
    console = console or Console()

    def say(text: str) -> None:
        # Names of files are no markup, and a sentence is not broken where the terminal ends: it may be copied.
        console.print(escape(text), soft_wrap=True, highlight=False)

    facts = report.to_json()
    say(f"{report.root}: {report.tool} layout, {len(report.train)} pairs to train and {len(report.test)} to test")
    if report.train or report.test:
        height, width = facts["height"], facts["width"]
        say(
            f"Pictures are {height['min']} to {height['max']} pixels high and {width['min']} to {width['max']} wide "
            f"(medians {height['median']:g} and {width['median']:g})."
        )
        table = Table("class", "name", "train", "test")
        for number, (name, share) in enumerate(facts["class_frequencies"].items()):
            table.add_row(str(number), escape(name), f"{share['train']:.2%}", f"{share['test']:.2%}")
        console.print(table)
    for note in report.notes:
        say(note)
    kinds: defaultdict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in report.problems:
        kinds[problem.severity, problem.kind].append(problem)
    for (severity, kind), problems in sorted(kinds.items()):
        for problem in problems[:most]:
            say(f"{severity}: {problem.sentence}")
        if len(problems) > most:
            say(f"{severity}: ... and {len(problems) - most} more of the kind '{kind}'")
    tally = Counter(problem.severity for problem in report.problems)
    say(f"{tally['error']} errors, {tally['warning']} warnings; read in {report.seconds:.1f} s")
