"""Scores that an object has beside its class, such as the emotions of a face: which is likeliest, and how far off."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from segjax.ops.meshes import on_any_mesh

_LEAST = 1e-7
"""The least probability that is told from none, as float32 has it near 1."""


@on_any_mesh
def attribute_confusion(
    scores: Float[Array | np.ndarray, "*n a"], attributes: Float[Array | np.ndarray, "*n a"]
) -> Float[Array, "a a"]:
    """Objects by their highest true attribute (row) and the one with the highest score (column); adds up.

    An object whose attributes are not all annotated, one is NaN, is not counted. Where several true ones are the
    highest, any of them is right. An object with a score of NaN counts NaN. `pixel_accuracy` and `class_accuracy` read
    it, as that of pixels. Works under `jit`.

    Raises:
        ValueError: where the shapes differ.

    Examples:
        >>> scores, attributes = jnp.array([[0.9, 0.2], [0.6, 0.5]]), jnp.array([[1.0, 0.0], [0.3, 0.7]])
        >>> metrics.attribute_confusion(scores, attributes).tolist()
        [[1.0, 0.0], [1.0, 0.0]]
    """
    scores, attributes = _alike(scores, attributes)
    found, highest = scores.argmax(-1), attributes == attributes.max(-1, keepdims=True)
    right = jnp.take_along_axis(highest, found[:, None], 1)[:, 0]
    true = jnp.where(right, found, highest.argmax(-1))
    counted = ~jnp.isnan(attributes).any(-1)
    size, each = scores.shape[-1], jnp.where(jnp.isnan(scores).any(-1), jnp.nan, 1.0)
    return jnp.zeros((size, size), jnp.float32).at[jnp.where(counted, true, size), found].add(each, mode="drop")


@on_any_mesh
def attribute_cross_entropy_counts(
    scores: Float[Array | np.ndarray, "*n a"], attributes: Float[Array | np.ndarray, "*n a"]
) -> Float[Array, "2"]:
    """How many true attributes are annotated, and the summed cross-entropy of their scores in 0..1; adds up.

    Each attribute is a yes or no of its own, as in `losses.attribute_cross_entropy`; the second by the first is the
    mean, in nats. Works under `jit`.

    Raises:
        ValueError: where the shapes differ.

    Examples:
        >>> scores, attributes = jnp.array([[0.5, 0.1]]), jnp.array([[1.0, jnp.nan]])  # nobody said the second one
        >>> metrics.attribute_cross_entropy_counts(scores, attributes).round(3).tolist()
        [1.0, 0.6930000185966492]
    """
    scores, attributes = _alike(scores, attributes)
    known = ~jnp.isnan(attributes)
    scores, attributes = scores.clip(_LEAST, 1 - _LEAST), jnp.where(known, attributes, 0)
    each = -attributes * jnp.log(scores) - (1 - attributes) * jnp.log1p(-scores)
    return jnp.stack([known.sum(dtype=jnp.float32), jnp.sum(each, where=known)])


def _alike(
    scores: Float[Array | np.ndarray, "*n a"], attributes: Float[Array | np.ndarray, "*n a"]
) -> tuple[Float[Array, "n a"], Float[Array, "n a"]]:
    if scores.shape != attributes.shape:
        raise ValueError(f"scores have shape {scores.shape} and attributes {attributes.shape}: expected the same.")
    one, other = (jnp.asarray(each, jnp.float32).reshape(-1, scores.shape[-1]) for each in (scores, attributes))
    return one, other
