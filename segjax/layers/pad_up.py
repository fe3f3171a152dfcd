"""Padding of what does not divide into patches."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def pad_up(x: Shaped[Array, "n h w c"], multiple: int) -> Shaped[Array, "n h2 w2 c"]:
    """With zeros at the bottom and right, so that rows and columns are multiples and strides lose nothing.

    Examples:
        >>> layers.pad_up(jnp.zeros((1, 33, 47, 3)), 32).shape
        (1, 64, 64, 3)
    """
    return jnp.pad(x, ((0, 0), *((0, -length % multiple) for length in x.shape[1:3]), (0, 0)))
