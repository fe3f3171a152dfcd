"""Expected calibration error: how far a model's confidence is from its accuracy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer
from numpy.typing import ArrayLike

from segjax.mask_numbers import is_counted, refuse_fractions
from segjax.metrics.averages import ratio
from segjax.ops.meshes import on_any_mesh


@on_any_mesh
def calibration_counts(
    logits: Float[Array | np.ndarray, "n h w k"],
    mask: Integer[Array | np.ndarray, "n h w"],
    *,
    bins: int = 15,
    ignore: int | None = None,
) -> Float[Array, "{bins} 3"]:
    """For each bin of confidence: pixels, their summed confidence and how many are right, in float32; adds up.

    Confidence is the largest softmax probability, and bin m of M holds ((m - 1) / M, m / M]. Ignored pixels, those
    below 0 too, are not counted. A batch must hold fewer than 2^24 pixels to be counted exactly; over many, add up as
    NumPy float64. Works under `jit`.

    Raises:
        ValueError: where the shapes do not match, or the mask is not of integers.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0]]]])
        >>> counts = metrics.calibration_counts(logits, jnp.array([[[0, 0]]]), bins=2)
        >>> counts[1].round(2).tolist()  # two pixels, their confidence, and one is right
        [2.0, 1.7599999904632568, 1.0]
    """
    if mask.shape != logits.shape[:-1]:
        raise ValueError(
            f"logits have shape {logits.shape} and the mask {mask.shape}: expected (n, h, w, classes) and (n, h, w)."
        )
    refuse_fractions(mask=mask)
    mask = jnp.asarray(mask, jnp.int32)
    confidence = jax.nn.softmax(logits.astype(jnp.float32), axis=-1).max(-1)
    right = logits.argmax(-1).astype(mask.dtype) == mask
    # Row by row, so that no running float32 sum grows large beside what is added to it.
    by_row = jax.vmap(jax.vmap(partial(_row_counts, bins=bins)))
    return by_row(confidence, right.astype(jnp.float32), is_counted(mask, logits.shape[-1], ignore)).sum((0, 1))


@on_any_mesh
def attribute_calibration_counts(
    scores: Float[Array | np.ndarray, "*n a"], attributes: Float[Array | np.ndarray, "*n a"], *, bins: int = 15
) -> Float[Array, "a {bins} 3"]:
    """For each attribute and bin of its score: objects, their summed scores and summed true scores; adds up.

    Scores are probabilities in 0..1, and true ones in 0..1 or NaN where nobody annotated one, which is not counted.
    `expected_calibration_error` reads one attribute's counts, or all of them from `counts.sum(0)`. Float32, and works
    under `jit`.

    Raises:
        ValueError: where the shapes differ.

    Examples:
        >>> counts = metrics.attribute_calibration_counts(jnp.array([[0.9]]), jnp.array([[1.0]]), bins=2)
        >>> counts[0].tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.8999999761581421, 1.0]]
    """
    if scores.shape != attributes.shape:
        raise ValueError(f"scores have shape {scores.shape} and attributes {attributes.shape}: expected the same.")
    confidence, true = (jnp.asarray(each, jnp.float32).reshape(-1, scores.shape[-1]).T for each in (scores, attributes))
    return jax.vmap(partial(_row_counts, bins=bins))(confidence, true, ~jnp.isnan(true))


def _row_counts(
    confidence: Float[Array, " length"], right: Float[Array, " length"], counted: Bool[Array, " length"], bins: int
) -> Float[Array, "{bins} 3"]:
    bin_of = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    values = jnp.stack([jnp.ones_like(confidence), confidence, right], axis=-1)
    return jnp.zeros((bins, 3), jnp.float32).at[jnp.where(counted, bin_of, bins)].add(values, mode="drop")


@on_any_mesh
def expected_calibration_error(counts: ArrayLike) -> float:
    """Mean gap of confidence and accuracy, bins weighted by pixels or objects (Guo et al. 2017); NaN without any.

    Examples:
        >>> logits = jnp.array([[[[2.0, 0.0], [0.0, 2.0]]]])
        >>> counts = metrics.calibration_counts(logits, jnp.array([[[0, 0]]]))
        >>> round(metrics.expected_calibration_error(counts), 3)  # 0.881 sure, half right
        0.381
    """
    pixels, confidence, right = np.asarray(counts, np.float64).T
    return float(ratio(np.abs(confidence - right).sum(), pixels.sum()))
