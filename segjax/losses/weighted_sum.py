"""Losses added up."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from segjax.ops.precision import widen

Loss = Callable[[Float[Array, "n h w k"], Integer[Array, "n h w"]], Float[Array, ""]]


def weighted_sum(*terms: tuple[float, Loss]) -> Loss:
    """A loss of (logits, mask) that adds up others: `weighted_sum((1.0, cross_entropy), (0.5, dice))`.

    Fix the options of a term with `functools.partial(dice, per_image=True)`.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0], [0.0, 0.0]]]])
        >>> mask = jnp.array([[[0, 1, 255]]])  # the last pixel is ignored
        >>> loss = losses.weighted_sum((1.0, losses.cross_entropy), (0.5, losses.dice))
        >>> round(float(loss(logits, mask)), 3)
        0.157
    """

    def loss(logits: Float[Array, "n h w k"], mask: Integer[Array, "n h w"]) -> Float[Array, ""]:
        return jnp.asarray(sum((weight * widen(term(logits, mask)) for weight, term in terms), start=0.0))

    return loss
