"""Dropout of a share that is one."""

import flax.linen as nn


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) with the numbers of Flax's, which takes any: from 1 on nothing is left.

    Raises:
        ValueError: a rate that is not in 0..1, which would only scale the features or leave none.

    Examples:
        >>> layers.dropout.Dropout(0.5, deterministic=True).apply({}, jnp.ones((2, 3))).sum().item()
        6.0
    """

    def __post_init__(self) -> None:
        """Refuses what is no share."""
        if not 0 <= self.rate <= 1:
            raise ValueError(f"dropout is the share of features that are left out, in 0..1, got {self.rate}.")
        super().__post_init__()
