"""Stochastic depth: whole branches of a residual network are left out while it trains."""

import flax.linen as nn
import numpy as np
from jax import Array


class DropPath(nn.Module):
    """Leaves a branch out for a random part of the images of a batch (Huang et al. 2016).

    What stays is scaled by 1 / (1 - rate), so that its expectation is the branch's own. It takes the rng "dropout".

    Raises:
        ValueError: a rate that is not in 0..1, which would only scale the branch.

    Examples:
        >>> layers.DropPath(0.5).apply({}, jnp.ones((2, 3)), train=False).sum().item()  # what is tested stays
        6.0
    """

    rate: float
    """The share of images that go without, in 0..1."""

    def __post_init__(self) -> None:
        """Refuses what is no share."""
        if not 0 <= self.rate <= 1:
            raise ValueError(f"drop_path is the share of images without a branch, in 0..1, got {self.rate}.")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """The branch of images (n ...): itself, or zero for some of them; unchanged unless `train`."""
        return nn.Dropout(self.rate, broadcast_dims=tuple(range(1, x.ndim)), deterministic=not train)(x)


def drop_path_rates(rate: float, depths: tuple[int, ...]) -> list[list[float]]:
    """The rate of every block of every stage: rising evenly from 0 in the first block to `rate` in the last.

    Examples:
        >>> layers.drop_path_rates(0.2, (1, 2))
        [[0.0], [0.1, 0.2]]
    """
    rates = np.linspace(0, rate, sum(depths)).tolist()
    ends = np.cumsum(depths).tolist()
    return [rates[end - depth : end] for end, depth in zip(ends, depths, strict=True)]
