"""A page of docs/ whose table a command fills row by row, going on where it was stopped."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax

from benchmarks.asked import file_to_write, one_of
from benchmarks.report import markdown, versions


@dataclass(frozen=True)
class GrowingTable:
    """A page with a row for each of some names."""

    head: str
    """What stands above the table."""
    columns: Sequence[str]
    names: Sequence[str]
    """In the order of the rows, each of which begins with its name, and a comma where more follows."""
    below: str = ""
    """What stands between the table and what it was made with."""

    def command(self, module: str, about: str, out: str, row: Callable[[str], list[str]]) -> None:
        """Make the rows that a command line asks for, each written before the next begins."""
        parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
        each = {"type": one_of(self.names), "metavar": "NAME", "help": "those without a row where none is named"}
        parser.add_argument("names", nargs="*", **each)
        parser.add_argument("--out", type=file_to_write, default=Path(out), metavar="FILE", help="(%(default)s)")
        arguments = parser.parse_args()
        known = self.rows(arguments.out)
        for name in arguments.names or [name for name in self.names if name not in known]:
            began = time.perf_counter()
            new = row(name)
            print(*new, f"{time.perf_counter() - began:.0f} s", flush=True)
            self.write(arguments.out, new)
            jax.clear_caches()

    def rows(self, out: Path) -> dict[str, list[str]]:
        """Those of the table that are there, by name; none of a table that had other columns."""
        kept = [line.strip("| \n").split(" | ") for line in out.read_text().splitlines()] if out.exists() else []
        whole = [cells for cells in kept if len(cells) == len(self.columns)]
        return {name: cells for cells in whole if (name := _name(cells)) in self.names}

    def write(self, out: Path, new: list[str]) -> None:
        """The page with that row, and the others as they stand there."""
        known = self.rows(out) | {_name(new): new}
        table = markdown(self.columns, [known[name] for name in self.names if name in known])
        made_by = ", ".join(f"{package} {version}" for package, version in versions("jax", "torch", "timm").items())
        missing = ", ".join(name for name in self.names if name not in known)
        rest = f" Not compared yet, the command goes on with them: {missing}." if missing else ""
        below = f"{self.below}\n\n" if self.below else ""
        out.write_text(f"{self.head}\n{table}\n\n{below}Made with {made_by}.{rest}\n")


def _name(cells: list[str]) -> str:
    return cells[0].partition(",")[0]
