"""What 16 bits are computed in: sums, positions and probabilities are float32, or float64 where that is what came."""

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Shaped


def at_least_float32(dtype: DTypeLike) -> np.dtype:
    """float64 of float64, and float32 of everything else.

    As `promote_types` with float32 has it, which refuses two dtypes where promotion is strict.
    """
    return np.dtype(jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32)


def widen(x: Shaped[Array, " *shape"]) -> Float[Array, " *shape"]:
    """`x` in that dtype."""
    return x.astype(at_least_float32(x.dtype))


def refuse_whole_numbers(op: str, **arrays: Shaped[Array, "..."]) -> None:
    """Refuse what is not floating, by its name: what lies between whole numbers would be cut off.

    Raises:
        ValueError: for the first of them.
    """
    for name, one in arrays.items():
        if not jnp.issubdtype(one.dtype, jnp.floating):
            raise ValueError(f"{op} needs floating dtypes, got {name} of {one.dtype}: cast it.")
