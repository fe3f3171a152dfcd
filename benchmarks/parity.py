"""Every encoder beside torch's with the same weights: `python -m benchmarks.parity [NAME...]`.

Encoders are compared one by one, those that `docs/parity.md` has no row of where none is named, and each one's row is
written before the next begins; two hours on two CPU cores for all.
"""

import argparse
import time
from pathlib import Path

import jax

from benchmarks.beside_torch import level_differences
from benchmarks.report import markdown, versions
from benchmarks.torch_encoders import REFERENCES, paired
from segjax.ops.geometry import Pair

SIZES: tuple[Pair, ...] = ((224, 224), (213, 213), (65, 97))
HEAD = """# Parity with PyTorch

`python -m benchmarks.parity`: every encoder beside the model of timm, torchvision or segmentation_models.pytorch with
the same weights, in float64 and in evaluation. Weights and statistics are random. A figure is the largest difference of
the values of any level, as a share of that level's largest value.
"""


def row(name: str) -> list[str]:
    """Of the table."""
    pairing = paired(name)
    figures = [f"{max(level_differences(pairing, size, images=1)):.0e}" for size in SIZES]
    parameters = sum(leaf.size for leaf in jax.tree.leaves(pairing.variables["params"]))
    return [name, REFERENCES[name][0], f"{parameters:,}", *figures]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description="Every encoder beside torch's.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="encoders; those without a row where none is named")
    parser.add_argument("--out", type=Path, default=Path("docs/parity.md"), metavar="FILE", help="(%(default)s)")
    arguments = parser.parse_args()
    known = rows(arguments.out)
    for name in arguments.names or [name for name in REFERENCES if name not in known]:
        began = time.perf_counter()
        new = row(name)
        print(*new, f"{time.perf_counter() - began:.0f} s", flush=True)
        write(arguments.out, new)
        jax.clear_caches()


def rows(out: Path) -> dict[str, list[str]]:
    """Those of the table that are there, by encoder."""
    kept = [line.strip("| \n").split(" | ") for line in out.read_text().splitlines()] if out.exists() else []
    return {cells[0]: cells for cells in kept if cells[0] in REFERENCES}


def write(out: Path, new: list[str]) -> None:
    """The table with that row, and those of the other encoders as they stand there."""
    known = rows(out) | {new[0]: new}
    head = ["encoder", "reference", "parameters", *(f"{height}x{width}" for height, width in SIZES)]
    table = markdown(head, [known[name] for name in REFERENCES if name in known])
    made_by = ", ".join(f"{package} {version}" for package, version in versions("jax", "torch", "timm").items())
    missing = ", ".join(name for name in REFERENCES if name not in known)
    rest = f" Not compared yet, the command goes on with them: {missing}." if missing else ""
    out.write_text(f"{HEAD}\n{table}\n\nMade with {made_by}.{rest}\n")


if __name__ == "__main__":
    main()
