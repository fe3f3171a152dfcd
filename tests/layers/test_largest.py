"""The largest value of every channel."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import torch

from segjax.encoders import ConvEncoder
from segjax.layers import largest


def test_values_and_gradients_are_torchs_ties_too():
    x = np.random.default_rng(0).integers(0, 4, (2, 5, 3, 4)).astype(np.float32)
    image = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    found = torch.nn.functional.adaptive_max_pool2d(image, 1)[..., 0, 0]
    weights = np.arange(8.0, dtype=np.float32).reshape(2, 4)
    (found * torch.from_numpy(weights)).sum().backward()
    assert image.grad is not None
    y, pull = jax.vjp(largest, jnp.asarray(x))
    np.testing.assert_array_equal(y, found.detach().numpy())
    np.testing.assert_array_equal(pull(jnp.asarray(weights))[0], image.grad.numpy().transpose(0, 2, 3, 1))


class Deepest(nn.Module):
    @nn.compact
    def __call__(self, image):
        features = ConvEncoder(((4,), (8,)))(image, train=True)[-1].features
        assert features is not None
        pooled = jnp.concatenate([features.mean((1, 2)), largest(features)], axis=-1)
        return nn.Dense(3)(pooled)


def test_a_gradient_is_finite_where_what_it_is_of_is_computed_twice():
    image = np.random.default_rng(0).random((8, 24, 24, 3), np.float32)
    variables = Deepest().init(jax.random.key(0), image)

    @jax.jit
    @jax.grad
    def gradient(variables):
        return jnp.square(Deepest().apply(variables, image, mutable=["batch_stats"])[0]).sum()

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(variables)["params"]))
