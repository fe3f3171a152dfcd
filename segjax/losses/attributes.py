"""The loss of scores that an object has beside its class."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.losses.labels import per_counted
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


@on_any_mesh
def attribute_cross_entropy(logits: Float[Array, "*n a"], attributes: Float[Array, "*n a"]) -> Float[Array, ""]:
    """Sigmoid cross-entropy of scores in 0..1, averaged over those that are not NaN (not annotated); 0 if all are.

    The numbers of `torch.nn.functional.binary_cross_entropy_with_logits`, in float32 or wider.

    Raises:
        ValueError: where the shapes differ.

    Examples:
        >>> logits = jnp.array([[0.0, 3.0]])
        >>> attributes = jnp.array([[0.5, jnp.nan]])  # nobody said the second one
        >>> round(float(losses.attribute_cross_entropy(logits, attributes)), 3)
        0.693
    """
    logits, attributes = widen(jnp.asarray(logits)), widen(jnp.asarray(attributes))
    if logits.shape != attributes.shape:
        raise ValueError(f"logits have shape {logits.shape} and attributes {attributes.shape}: expected the same.")
    known = ~jnp.isnan(attributes)
    logits, attributes = jnp.where(known, logits, 0), jnp.where(known, attributes, 0)
    each = jax.nn.softplus(logits) - logits * attributes
    return per_counted(jnp.sum(each, where=known), known.sum())
