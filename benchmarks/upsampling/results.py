"""The folder that the benchmark fills: rows that are appended one by one, and arrays beside them."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import machine, versions
from benchmarks.upsampling.cells import Cell
from benchmarks.upsampling.settings import Settings


class Results:
    """A folder of results, which several processes may add to.

    results.jsonl   a row a run: configuration, scores, versions, machine
    costs.jsonl     a row a cell: parameters, FLOPs, times, bytes
    arrays/         spectra and predictions of each cell's first seed
    cache/          compiled programs
    report.md, report.html, figures/
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "arrays").mkdir(parents=True, exist_ok=True)
        self._about: dict[str, Any] | None = None

    def append(self, file: str, row: Mapping[str, Any]) -> None:
        """Add a row with versions and machine; it is on disk when this returns, and whole or not there at all."""
        if self._about is None:
            packages = ("segjax", "jax", "jaxlib", "flax", "optax", "numpy")
            self._about = {"versions": versions(*packages), "machine": machine()}
        line = json.dumps(dict(row) | self._about) + "\n"
        descriptor = os.open(self.folder / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())  # one call, so that rows of two processes cannot mix
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rows(self, file: str) -> dict[str, dict[str, Any]]:
        """All rows by their `name`, the last where there are several."""
        path = self.folder / file
        lines = path.read_text().splitlines() if path.exists() else []
        return {row["name"]: row for row in map(json.loads, lines)}

    def mend(self) -> None:
        """Take off what a kill or a full disk left of a last row."""
        for path in self.folder.glob("*.jsonl"):
            text = path.read_bytes()
            if not text.endswith(b"\n"):
                os.truncate(path, text.rfind(b"\n") + 1)

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under a run's name, whole or not at all."""
        draft = self.folder / "arrays" / f".{name}.npz"
        np.savez_compressed(draft, allow_pickle=False, **arrays)
        draft.replace(self.folder / "arrays" / f"{name}.npz")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """What `save_arrays` kept; empty where it kept nothing."""
        path = self.folder / "arrays" / f"{name}.npz"
        if not path.exists():
            return {}
        with np.load(path) as file:
            return dict(file)


FORM = 2
"""Of a row: those of an earlier form lack some scores, and are run again."""


def run_name(cell: Cell, settings: Settings, seed: int) -> str:
    """The name of a run: other settings have other names, so that one folder can hold both."""
    start = "-random" if settings.start == "random" else ""
    return f"{cost_name(cell, settings)}-s{settings.steps}-l{settings.learning_rate:g}-f{FORM}{start}-{seed}"


def cost_name(cell: Cell, settings: Settings) -> str:
    """The name of a cell's costs."""
    return "-".join(
        (
            f"{cell.name}-b{settings.batch_size}",
            *([f"c{settings.crop}"] if settings.crop else []),
            *(str(side) for side in settings.sides),
        )
    )


def configuration(cell: Cell, settings: Settings) -> dict[str, Any]:
    """What a row says of how it came about."""
    schedule = {key: getattr(settings, key) for key in ("steps", "batch_size", "crop", "learning_rate", "start")}
    return asdict(cell) | schedule


def missing(rows: Mapping[str, Any], cells: Iterable[Cell], settings: Settings) -> list[tuple[Cell, Sequence[int]]]:
    """The cells that have seeds which no row is there for, with these seeds."""
    todo = [
        (cell, [seed for seed in range(settings.seeds) if run_name(cell, settings, seed) not in rows]) for cell in cells
    ]
    return [(cell, seeds) for cell, seeds in todo if seeds]
