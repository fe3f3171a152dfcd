"""First and second derivatives against finite differences, all in one program: each compiles what it traces once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def check_derivatives(op: Callable[..., Any], *arrays: Any, tolerance: float = 1e-6, step: float = 1e-6) -> None:
    """Hold the op's derivatives, forward and reverse and each of the other, to differences of float64.

    What the op returns may be one array or a tree of them. Each is seen along a direction drawn by itself.
    """
    rng = np.random.default_rng(7)
    v, u = (tuple(rng.standard_normal(np.shape(array)) for array in arrays) for _ in range(2))
    equal, along = _derivatives(op, step, arrays, v, u)
    for found, expected in equal:
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    for one, other in along:
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


@partial(jax.jit, static_argnums=(0, 1))
def _derivatives(
    op: Callable[..., Any], step: float, arrays: Any, v: Any, u: Any
) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    """What is equal, and what is along the same direction. Traced once for an op, wherever it is looked at."""
    shapes = jax.eval_shape(op, *arrays)
    upstream = jax.tree.map(lambda y: jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape), shapes)

    def forward(*arrays: Any) -> Any:
        return jax.jvp(op, arrays, v)[1]

    def reverse(*arrays: Any) -> Any:
        return jax.vjp(op, *arrays)[1](upstream)

    def at(steps: Any) -> Any:
        moved = jax.tree.map(lambda x, a, b: x + steps[0] * a + steps[1] * b, arrays, v, u)
        return op(*moved), forward(*moved), reverse(*moved)

    # Compiled once for all points.
    steps = jnp.array([[0, 0], [step, 0], [-step, 0], [0, step], [0, -step]])
    here, ahead, behind, left, right = (
        jax.tree.map(lambda values, i=i: values[i], jax.lax.map(at, steps)) for i in range(5)
    )
    differ = jax.tree.map(lambda a, b: (a - b) / (2 * step), (ahead[0], left[1:]), (behind[0], right[1:]))
    first, (of_forward, of_reverse) = differ
    forward_twice = jax.jvp(forward, arrays, u)[1]
    forward_over_reverse = jax.jvp(reverse, arrays, u)[1]
    reverse_over_forward = jax.vjp(forward, *arrays)[1](upstream)
    reverse_twice = jax.vjp(reverse, *arrays)[1](v)
    equal = [(here[1], first), (forward_twice, of_forward), (forward_over_reverse, of_reverse)]
    along = [
        (_dot(here[2], v), _dot(upstream, here[1])),
        (_dot(reverse_over_forward, u), _dot(upstream, forward_twice)),
        (_dot(reverse_twice, u), _dot(v, forward_over_reverse)),
    ]
    return equal, along


def _dot(one: Any, other: Any) -> Any:
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
