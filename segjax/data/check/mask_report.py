"""What checking a folder of images and masks found out, as a refusal, as JSON and as text for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segjax.data.check.counts import Counts, added_up
from segjax.data.check.report import problem_facts, say, size_facts, size_line
from segjax.data.formats.bands import Bands
from segjax.data.formats.classes import ClassList
from segjax.data.formats.layouts import ImageAndMask
from segjax.data.formats.problems import Problem, refuse
from segjax.data.formats.rasters import Depth
from segjax.data.formats.splits import Splits
from segjax.data.record import Split
from segjax.errors import counted
from segjax.mask_numbers import ignored

_LISTED = 255
"""Classes that the table has, at most."""


@dataclass(frozen=True)
class Seen:
    """What reading one pair told; None and zeros where it could not be read."""

    pair: ImageAndMask
    size: tuple[int, int] | None
    """Height and width of the image."""
    depth: Depth
    mean: Float64[np.ndarray, " c"]
    """Of every band of the image, in the stored numbers over `WHITE` of their depth; of pixels that have data."""
    std: Float64[np.ndarray, " c"]
    missing: int
    """How many pixels have no data."""
    digest: bytes
    """Of the decoded image: equal images have equal ones, whatever format they are saved in."""
    counts: Counts
    """How many pixels of the mask have each value, of each label where they may overlap."""
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
    levels: UInt[np.ndarray, " n"] | None
    """The class of every grey level, where it is not that number itself."""
    bands: Bands
    """What its images are."""
    splits: Splits
    train: tuple[Seen, ...]
    val: tuple[Seen, ...]
    test: tuple[Seen, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    seconds: float
    multilabel: bool = False
    """Whether the classes are labels that may overlap."""

    @property
    def understood(self) -> bool:
        """Whether the folder has a layout of images with masks at all."""
        return self.tool != "unknown"

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep the folder from training."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def refuse(self) -> None:
        """Refuse what has errors.

        Raises:
            DataError: there are errors; it says the first ten.
        """
        refuse(self.root, self.problems)

    def by_split(self) -> dict[Split, tuple[Seen, ...]]:
        """What was read of every split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def frequencies(self, seen: Sequence[Seen]) -> Float64[np.ndarray, " k"]:
        """The share of every class in the pixels that are not ignored; zeros where there are none."""
        if self.multilabel:
            nothing = np.zeros((len(self.classes.names), 2), np.int64)
            of_labels = sum((one.counts.dense(2) for one in seen), nothing)
            return of_labels[:, 1] / np.maximum(1, of_labels.sum(axis=1))
        counts = added_up([one.counts for one in seen]).dense(len(self.classes.names))
        return counts / max(1, counts.sum())

    def to_json(self) -> dict[str, Any]:
        """Everything but the pairs themselves, ready for `json.dump`."""
        every = self.train + self.val + self.test
        ignore = ignored(2 if self.multilabel else len(self.classes.names))
        shares = {split: self.frequencies(seen) for split, seen in self.by_split().items()}
        return {
            "root": self.root,
            "layout": self.tool,
            "pairs": {split: len(seen) for split, seen in self.by_split().items()},
            "split_by_hash": self.splits.by_hash,
            **size_facts(one.size for one in every),
            "depth": self.bands.depth,
            "bands": self.bands.count,
            "band_names": list(self.bands.names),
            "pixels_without_data": sum(one.missing for one in every),
            "multilabel": self.multilabel,
            "class_frequencies": {
                name: {split: float(share[i]) for split, share in shares.items()}
                for i, name in enumerate(self.classes.names)
            },
            "ignored_pixels": sum(one.counts.of(ignore) for one in every),
            **problem_facts(self),
        }

    def describe(self, console: Console) -> None:
        """Print counts and class frequencies."""
        facts = self.to_json()
        counts = (
            f"{counted(len(self.train), 'pair')} to train, {len(self.val)} to validate and {len(self.test)} to test"
        )
        say(console, f"{self.root}: {self.tool} layout, {counts}")
        if any(self.by_split().values()):
            if facts["height"]["max"]:
                say(console, size_line(facts["height"], facts["width"]))
                names = f" ({', '.join(self.bands.names)})" if self.bands.names else ""
                say(console, f"They have {counted(self.bands.count, 'band')}{names} of {self.bands.depth}.")
            table = Table("label" if self.multilabel else "class", "name", *self.by_split())
            rows = [*enumerate(facts["class_frequencies"].items())]
            if len(rows) > _LISTED:
                rows = sorted(rows, key=lambda row: -sum(row[1][1].values()))[:_LISTED]
                say(console, f"Of {len(self.classes.names)} classes the {_LISTED} with the most pixels:")
            for number, (name, share) in rows:
                table.add_row(str(number), escape(name), *(f"{share[split]:.2%}" for split in self.by_split()))
            console.print(table)
