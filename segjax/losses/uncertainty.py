"""The losses of several tasks, weighted by what each leaves uncertain."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


@on_any_mesh
def uncertainty_weighted_sum(
    losses: Mapping[str, Float[Array, ""]], log_variances: Mapping[str, Float[Array, ""]]
) -> Float[Array, ""]:
    """The sum over tasks of exp(-s) loss + s / 2, s the learned log variance of each (Kendall et al. 2018).

    At its least a task's variance is twice its loss, so every task weighs the same however large its loss is; begin
    with s = 0. The half that the paper puts before a squared error belongs to the loss.

    Raises:
        ValueError: where the two do not name the same tasks.

    Examples:
        >>> parts = {'box': jnp.array(2.0), 'mask': jnp.array(1.0)}
        >>> float(losses.uncertainty_weighted_sum(parts, {'box': jnp.array(0.0), 'mask': jnp.array(0.0)}))
        3.0
    """
    if losses.keys() != log_variances.keys():
        raise ValueError(
            f"the losses are of {', '.join(losses)} and the log variances of {', '.join(log_variances)}: "
            "expected the same tasks."
        )
    pairs = ((widen(losses[task]), widen(s)) for task, s in log_variances.items())
    terms = (jnp.exp(-s) * loss + s / 2 for loss, s in pairs)
    return sum(terms, start=jnp.float32(0))
