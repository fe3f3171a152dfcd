"""Every encoder beside torch's with the same weights: `python -m benchmarks.parity [NAME...]`.

Encoders are compared one by one, those that `docs/parity.md` has no row of where none is named, and each one's row is
written before the next begins; two hours on two CPU cores for all.
"""

import jax
import numpy as np

from benchmarks.beside_torch import differences, level_differences_in
from benchmarks.growing_table import GrowingTable
from benchmarks.torch_encoders import REFERENCES, paired
from segjax.ops.geometry import Pair

SIZES: tuple[Pair, ...] = ((224, 224), (213, 213), (65, 97))
MOST_PARAMETERS = 500_000_000
"""Of an encoder whose gradients, twice in double precision, fit into 16 GB."""
HEAD = """# Parity with PyTorch

`python -m benchmarks.parity`: every encoder beside the model of timm, torchvision or segmentation_models.pytorch with
the same weights, in evaluation. Weights and statistics are random. A figure is the largest difference of the values of
any level, as a share of that level's largest value: in float64 at three sizes, then the largest of these in float32,
where torch stays in float64. Gradients, in float64 at 65x97, are of a weighted sum of all levels by the image and by
every parameter, and the figure is the largest difference as a share of the largest number in that gradient.
"""
BELOW = """\\* By the image alone: two sets of gradients of so many parameters do not fit into 16 GB.

MobileNetV3's gradients agree to fewer digits because torch's gradient of the hard sigmoid has a sixth in float32."""


def row(name: str) -> list[str]:
    """Of the table."""
    pairing = paired(name)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(pairing.variables["params"]))
    of_sizes = [level_differences_in((np.float64, np.float32), pairing, size, images=1) for size in SIZES]
    exact, single = [max(double) for double, _ in of_sizes], max(max(single) for _, single in of_sizes)
    by_image_alone = parameters > MOST_PARAMETERS
    _, gradients = differences(pairing, SIZES[-1], of="(?!)" if by_image_alone else "", images=1)
    figures = [f"{figure:.0e}" for figure in (*exact, single, max(gradients.values()))]
    return [name, REFERENCES[name][0], f"{parameters:,}", *figures[:-1], figures[-1] + by_image_alone * "\\*"]


TABLE = GrowingTable(
    HEAD,
    ("encoder", "reference", "parameters", *(f"{height}x{width}" for height, width in SIZES), "float32", "gradients"),
    tuple(REFERENCES),
    BELOW,
)

if __name__ == "__main__":
    TABLE.command("benchmarks.parity", "Every encoder beside torch's.", "docs/parity.md", row)
