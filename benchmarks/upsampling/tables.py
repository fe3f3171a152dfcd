"""The rows of a folder as arrays: a score of every operator for every seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.upsampling.cells import FAMILIES, TWIN, UPSAMPLERS, Cell, Family, Place, Size
from benchmarks.upsampling.results import Results, cost_name, run_name
from benchmarks.upsampling.settings import Settings

SCORES = {"miou": "mIoU", "boundary_f1": "boundary F1", "boundary_iou": "boundary IoU"}
"""The scores that operators are compared by, and what a table calls them."""

Table = dict[str, Float[np.ndarray, " seeds"]]
"""One score of every operator, seed by seed."""


@dataclass(frozen=True)
class Outcome:
    """What the folder holds of a plan; places whose runs are not complete are left out."""

    settings: Settings
    cells: Mapping[Place, Cell]
    runs: Mapping[Place, list[dict[str, Any]]]
    """The rows of a place, one a seed."""
    costs: Mapping[Place, dict[str, Any]]

    def table(self, data: str, size: Size, family: Family, score: str, twin: bool = False) -> Table:
        """One score of every operator in the order of the tables; empty where nothing was run.

        `score` is a key of a row, or two with a slash between: "miou", "iou/water", "checkerboard/2". The twin of the
        control is among them where `twin` says so.
        """
        names = [*UPSAMPLERS, *([TWIN] if twin else [])]
        places = {name: Place(data, size, family, name) for name in names}
        return {
            name: np.array([_value(row, score) for row in self.runs[place]], np.float64)
            for name, place in places.items()
            if place in self.runs
        }

    def main_size(self, data: str) -> Size:
        """What is shown where one size is: decoders as published, where any were run."""
        return "published" if self.families(data, "published") else "matched"

    def families(self, data: str, size: Size) -> list[Family]:
        """The families that were run at that size, in the order of the tables."""
        there = {place.family for place in self.runs if (place.data, place.size) == (data, size)}
        return [family for family in FAMILIES if family in there]


def read(results: Results, settings: Settings, cells: Mapping[Place, Cell]) -> Outcome:
    """What a folder holds of a plan."""
    rows, costs = results.rows("results.jsonl"), results.rows("costs.jsonl")
    names = {place: [run_name(cell, settings, seed) for seed in range(settings.seeds)] for place, cell in cells.items()}
    runs = {place: [rows[name] for name in own] for place, own in names.items() if all(name in rows for name in own)}
    priced = {place: cost_name(cell, settings) for place, cell in cells.items()}
    return Outcome(settings, cells, runs, {place: costs[name] for place, name in priced.items() if name in costs})


def _value(row: Mapping[str, Any], score: str) -> float:
    value: Any = row
    for key in score.split("/"):
        value = value[key]
    return np.nan if value is None else value
