"""Every encoder beside torch's with the same weights: `python -m benchmarks.parity [NAME...]`.

Encoders are compared one by one, those that `docs/parity.md` has no row of where none is named, and each one's row is
written before the next begins; two hours on two CPU cores for all.
"""

import jax

from benchmarks.beside_torch import level_differences
from benchmarks.growing_table import GrowingTable
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


TABLE = GrowingTable(
    HEAD,
    ("encoder", "reference", "parameters", *(f"{height}x{width}" for height, width in SIZES)),
    tuple(REFERENCES),
)

if __name__ == "__main__":
    TABLE.command("benchmarks.parity", "Every encoder beside torch's.", "docs/parity.md", row)
