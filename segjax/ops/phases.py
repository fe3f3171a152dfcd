"""Fine arrays as phases of coarse ones, for TPUs.

A tile of a TPU holds the last two axes, columns and channels. Whatever interleaves columns by a new axis between these
moves every number by itself; side by side in the channels, the phases are where a reshape wants them.
"""

from collections.abc import Sequence
from itertools import product

import jax.numpy as jnp
from jaxtyping import Array, Shaped

from segjax.ops.geometry import Pair


def apart(fine: Shaped[Array, "n fine_h fine_w c"], factors: Pair) -> list[Shaped[Array, "n h w c"]]:
    """Every `factors`-th row and column, from each of the first ones on."""
    down, across = factors
    return [fine[:, u::down, v::across] for u, v in product(range(down), range(across))]


def woven(phases: Sequence[Shaped[Array, "n h w c"]], factors: Pair) -> Shaped[Array, "n fine_h fine_w c"]:
    """What `apart` took apart."""
    down, across = factors
    n, h, w, c = phases[0].shape
    rows = [jnp.concatenate(phases[u * across : (u + 1) * across], axis=-1) for u in range(down)]
    return jnp.stack([row.reshape(n, h, w * across, c) for row in rows], axis=2).reshape(n, h * down, w * across, c)


def repeated(x: Shaped[Array, "n h w c"], factors: Pair) -> Shaped[Array, "n fine_h fine_w c"]:
    """Every pixel as a block of its like."""
    return woven([x] * (factors[0] * factors[1]), factors)
