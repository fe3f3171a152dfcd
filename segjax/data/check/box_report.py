"""What checking a data set of boxes found out, as a refusal, as JSON and as text for a terminal."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from segjax.data.check.report import problem_facts, say, size_facts, size_line
from segjax.data.formats.annotations import Annotated
from segjax.data.formats.classes import Colour, bright_palette
from segjax.data.formats.images import shown
from segjax.data.formats.problems import Problem, refuse
from segjax.data.formats.rasters import Depth
from segjax.errors import DataError, counted


@dataclass(frozen=True)
class SeenBoxes:
    """What reading one image told."""

    picture: Annotated
    size: tuple[int, int] | None
    """Height and width of the image; None where it could not be read."""
    digest: bytes
    """Of the decoded image; empty where it could not be read or is of one colour."""
    problems: tuple[Problem, ...]
    kind: tuple[Depth, int] | None = None
    """The depth and number of bands of the image; None where it could not be read."""


@dataclass(frozen=True)
class BoxReport:
    """A data set of boxes after every file of it was read."""

    root: str
    tool: str
    """Whose layout it has."""
    class_names: tuple[str, ...]
    attribute_names: tuple[str, ...]
    train: tuple[SeenBoxes, ...]
    val: tuple[SeenBoxes, ...]
    test: tuple[SeenBoxes, ...]
    notes: tuple[str, ...]
    problems: tuple[Problem, ...]
    seconds: float

    @classmethod
    def of_nothing(cls, root: str | os.PathLike[str], error: DataError) -> "BoxReport":
        """The report on annotations that cannot be read at all."""
        problem = Problem("annotations", "error", shown(root), str(error))
        return cls(shown(root), "unknown", (), (), (), (), (), (), (problem,), 0.0)

    @property
    def palette(self) -> tuple[Colour, ...]:
        """The colour that each class is drawn in."""
        return bright_palette(len(self.class_names))

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep the set from training."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def refuse(self) -> None:
        """Refuse what has errors.

        Raises:
            DataError: there are errors; it says the first ten.
        """
        refuse(self.root, self.problems)

    def to_json(self) -> dict[str, Any]:
        """Everything but the boxes themselves, ready for `json.dump`."""
        pictures = [one.picture for one in self.train + self.val + self.test]
        boxes = np.concatenate([picture.boxes for picture in pictures]) if pictures else np.zeros((0, 4))
        scores = [picture.attributes for picture in pictures if picture.attributes.shape[1]]
        per_class = {split: _per_class(seen, len(self.class_names)) for split, seen in self._splits()}
        return {
            "root": self.root,
            "layout": self.tool,
            "pictures": {split: len(seen) for split, seen in self._splits()},
            "without_boxes": {
                split: sum(not len(one.picture.boxes) for one in seen) for split, seen in self._splits()
            },
            **size_facts(one.size for one in self.train + self.val + self.test),
            "boxes": {
                name: {split: int(per_class[split][number]) for split in per_class}
                for number, name in enumerate(self.class_names)
            },
            "crowds": {split: int(sum(one.picture.crowd.sum() for one in seen)) for split, seen in self._splits()},
            "most_boxes": max((len(picture.boxes) for picture in pictures), default=0),
            "longer_side": _least_median_greatest(boxes[:, 2:].max(axis=1)),
            "attributes": {name: _scored(np.concatenate(scores)[:, i]) for i, name in enumerate(self.attribute_names)},
            **problem_facts(self),
        }  # fmt: skip

    def describe(self, console: Console) -> None:
        """Print counts of images and boxes, and the scores that boxes have."""
        facts = self.to_json()
        empty = facts["without_boxes"]
        say(
            console,
            f"{self.root}: {self.tool} boxes, {counted(len(self.train), 'image')} to train, {len(self.val)} to "
            f"validate and {len(self.test)} to test, of which {empty['train']}, {empty['val']} and {empty['test']} "
            "have no boxes",
        )
        if not any(seen for _, seen in self._splits()):
            return
        if facts["height"]["max"]:
            say(console, size_line(facts["height"], facts["width"]))
        table = Table("class", "name", *(split for split, _ in self._splits()))
        for number, (name, boxes) in enumerate(facts["boxes"].items()):
            table.add_row(str(number), escape(name), *map(str, boxes.values()))
        console.print(table)
        (low, middle, high), crowds = facts["longer_side"], facts["crowds"]
        say(
            console,
            f"The longer side of a box is {low:g} to {high:g} pixels, {middle:g} in the middle. An image has up to "
            f"{counted(facts['most_boxes'], 'box')}. Crowds: {crowds['train']} to train, {crowds['val']} to validate, "
            f"{crowds['test']} to test.",
        )
        for name, (count, mean) in facts["attributes"].items():
            say(console, f"Score '{name}': {counted(count, 'box')} with one, on average {mean:.2f}.")

    def _splits(self) -> tuple[tuple[str, tuple[SeenBoxes, ...]], ...]:
        return ("train", self.train), ("val", self.val), ("test", self.test)


def _per_class(seen: Sequence[SeenBoxes], classes: int) -> np.ndarray:
    """How many boxes of every class there are, crowds not counted."""
    labels = [one.picture.labels[~one.picture.crowd] for one in seen]
    return np.bincount(np.concatenate(labels) if labels else np.zeros(0, np.int32), minlength=classes)


def _least_median_greatest(sides: np.ndarray) -> list[float]:
    return [round(float(side), 1) for side in np.quantile(sides, (0, 0.5, 1))] if len(sides) else [0.0, 0.0, 0.0]


def _scored(scores: np.ndarray) -> list[float]:
    known = scores[~np.isnan(scores)]
    return [len(known), float(known.mean()) if len(known) else 0.0]
