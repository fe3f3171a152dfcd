"""A loss at every level of a decoder."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from segjax.losses.weighted_sum import Loss


def deep_supervision(
    loss: Loss, weights: Sequence[float] | None = None
) -> Callable[[Sequence[Float[Array, "n _ _ k"]], Integer[Array, "n h w *k"]], Float[Array, ""]]:
    """A loss of (logits of every level, mask), from a loss of (logits, mask); a weighted mean over the levels.

    The mask is brought to each level's size by nearest neighbour. The weights halve from level to level where none are
    given, as in nnU-Net (Isensee et al. 2021), and are divided by their sum.

    Raises:
        ValueError: where there are not as many as levels, or no levels.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> loss = losses.deep_supervision(losses.cross_entropy, (1.0, 0.4))
        >>> round(float(loss((logits, logits), mask)), 3)
        0.127
    """

    def over_levels(levels: Sequence[Float[Array, "n _ _ k"]], mask: Integer[Array, "n h w *k"]) -> Float[Array, ""]:
        if len(levels) == 0:
            raise ValueError("deep_supervision needs logits of at least one level, and the model returned none.")
        shares = [0.5**i for i in range(len(levels))] if weights is None else weights
        if len(shares) != len(levels):
            raise ValueError(
                f"deep_supervision has {len(shares)} weights, but the model returned logits of {len(levels)} levels."
            )
        terms = [
            share * loss(logits, _nearest(mask, *logits.shape[1:3]))
            for share, logits in zip(shares, levels, strict=True)
        ]
        return sum(terms, start=jnp.float32(0)) / sum(shares)

    return over_levels


def _nearest(mask: Integer[Array, "n h w *k"], rows: int, columns: int) -> Integer[Array, "n rows columns *k"]:
    height, width = mask.shape[1:3]
    row = (2 * jnp.arange(rows) + 1) * height // (2 * rows)
    column = (2 * jnp.arange(columns) + 1) * width // (2 * columns)
    return mask[:, row][:, :, column]
