"""The largest value of every channel, with a gradient that does not look for it again."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def largest(x: Float[Array, "n h w c"]) -> Float[Array, "n c"]:
    """Of each image and channel; its gradient goes to the first place that has it, as PyTorch's max-pooling's does.

    The gradient of `jnp.max` goes to all values that equal the maximum. Where a compiler computes `x` twice and rounds
    otherwise, none does, and it is NaN.

    Examples:
        >>> layers.largest(jnp.arange(8.0).reshape(1, 2, 2, 2)).tolist()
        [[6.0, 7.0]]
    """
    return x.max((1, 2))


@largest.defjvp
def _jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    n, h, w, c = x.shape
    at = jnp.argmax(x.reshape(n, h * w, c), axis=1, keepdims=True)
    return largest(x), jnp.take_along_axis(tangent.reshape(n, h * w, c), at, axis=1)[:, 0]
