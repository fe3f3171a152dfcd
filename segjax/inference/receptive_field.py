"""How far a model sees."""

import functools

import jax
import numpy as np
from flax import linen as nn

FARTHEST = 256
"""The largest radius that `receptive_radius` can tell, in pixels."""


@functools.lru_cache(maxsize=32)
def receptive_radius(model: nn.Module, channels: int = 3) -> int:
    """How many pixels away the farthest input lies that a pixel's logits depend on, up and down, left and right.

    Measured: one noise image goes through the model three times, all but its upper left or its lower right quarter
    changed, and whatever changes inside that quarter has seen across its edge. The edge lies on the pooling grid, as
    the edges of tiles do. The weights are random, not the trained ones of which some may be asleep: the radius is the
    architecture's. 256 means "that or more", which a model with global context always gives.

    Args:
        model: called as `model.apply(variables, images, train=False)` on images (n h w channels) in its own numbers.
        channels: of the images.

    Examples:
        >>> inference.receptive_radius(models.FullResolutionCNN(3, widths=(2, 2)))
        2
    """
    size = 2 * FARTHEST
    generator = np.random.default_rng(0)
    stored = np.dtype(getattr(model, "stored", "uint8"))
    image, other = generator.integers(0, 256, (2, 1, size, size, channels), np.uint8).astype(stored)
    if stored != np.uint8:
        image, other = (noise * stored.type(257 if stored == np.uint16 else 1 / 255) for noise in (image, other))
    upper_left, lower_right = other.copy(), other.copy()
    upper_left[:, :FARTHEST, :FARTHEST] = image[:, :FARTHEST, :FARTHEST]
    lower_right[:, FARTHEST:, FARTHEST:] = image[:, FARTHEST:, FARTHEST:]

    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), image)
    variables = jax.tree.map(lambda leaf: _random_weights(generator, leaf.shape).astype(leaf.dtype), shapes)
    apply = jax.jit(functools.partial(model.apply, train=False))
    logits = np.asarray(apply(variables, image)[0], np.float32)
    noise = 1e-6 * np.abs(logits).max()
    seen = np.abs(np.asarray(apply(variables, upper_left)[0]) - logits).max(-1) > noise
    seen_back = np.abs(np.asarray(apply(variables, lower_right)[0]) - logits).max(-1) > noise
    return max(_reach(seen[:FARTHEST, :FARTHEST]), _reach(seen_back[FARTHEST:, FARTHEST:][::-1, ::-1]))


def _random_weights(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """He-normal kernels; biases, scales, means and variances near one."""
    noise = generator.normal(size=shape)
    return noise * np.sqrt(2 / np.prod(shape[:-1])) if len(shape) > 1 else np.exp(0.1 * noise)


def _reach(seen: np.ndarray) -> int:
    """How far the pixels that have changed reach from the last row and column towards the first."""
    rows, columns = np.nonzero(seen)
    return FARTHEST - int(np.maximum(rows, columns).min(initial=FARTHEST))
