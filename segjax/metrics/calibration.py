"""Expected calibration error: how far a model's confidence is from its accuracy."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from segjax.metrics.scores import ratio


def calibration_counts(
    logits: Float[Array | np.ndarray, "n h w k"],
    mask: Int[Array | np.ndarray, "n h w"],
    *,
    bins: int = 15,
    ignore: int = 255,
) -> Float[Array, "{bins} 3"]:
    """For each bin of confidence: pixels, their summed confidence and how many are right, in float32; adds up.

    Confidence is the largest softmax probability, and bin m of M holds ((m - 1) / M, m / M]. A batch must hold fewer
    than 2^24 pixels to be counted exactly; over many, add up as NumPy float64. Works under `jit`; raises ValueError if
    the shapes do not match.
    """
    if mask.shape != logits.shape[:-1]:
        raise ValueError(
            f"logits have shape {logits.shape} and the mask {mask.shape}: expected (n, h, w, classes) and (n, h, w)."
        )
    mask = jnp.asarray(mask, jnp.int32)
    confidence = jax.nn.softmax(logits.astype(jnp.float32), axis=-1).max(-1)
    right = logits.argmax(-1) == mask
    bin_of = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    bin_of = jnp.where(mask == ignore, bins, bin_of)
    values = jnp.stack([jnp.ones_like(confidence), confidence, right.astype(jnp.float32)], axis=-1)

    def one_row(bin_of: Array, values: Array) -> Array:
        return jnp.zeros((bins, 3), jnp.float32).at[bin_of].add(values, mode="drop")

    # Row by row, so that no running float32 sum grows large beside what is added to it.
    return jax.vmap(jax.vmap(one_row))(bin_of, values).sum((0, 1))


def expected_calibration_error(counts: ArrayLike) -> float:
    """Mean gap between confidence and accuracy over bins, weighted by pixels (Guo et al. 2017); NaN without pixels."""
    pixels, confidence, right = np.asarray(counts, np.float64).T
    return float(ratio(np.abs(confidence - right).sum(), pixels.sum()))
