import jax
import jax.numpy as jnp
import numpy as np

from segjax import ops
from segjax.decoders import FCNDecoder
from segjax.level import from_image, level_at


def test_scores_are_of_what_overlapping_windows_left():
    """As behind the stem of ResNet and DenseNet, whose pooling rounds down what it has padded."""
    image = jnp.zeros((1, 32, 24, 3))
    stem = jnp.asarray(np.random.default_rng(0).normal(size=(1, 16, 12, 2)), jnp.float32)
    pooled, indices = ops.max_pool_with_argmax(stem, 3, strides=2, padding=1)
    features = (stem, pooled, pooled[:, ::2, ::2])
    levels = [level_at(image, 2 ** (i + 1), x) for i, x in enumerate(features)]
    levels = from_image((levels[0].replace(indices=indices), *levels[1:]), image)
    decoder = FCNDecoder(2, skips=1, hidden=2, window=1)
    shapes = jax.eval_shape(lambda: decoder.init(jax.random.key(0), levels, train=False))
    params = jax.tree.map(lambda one: jnp.zeros(one.shape), shapes["params"])
    params["score_pool2"]["kernel"] = jnp.eye(2)[None, None]
    level = decoder.apply({"params": params}, levels, train=False)[0]
    np.testing.assert_allclose(level.features, pooled, rtol=1e-6)
