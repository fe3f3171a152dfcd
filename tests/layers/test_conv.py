from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segjax.layers import ConvBlock

KEY = jax.random.key(0)


def shapes(variables):
    return jax.tree.map(jnp.shape, variables)


def variables_for(model, *args):
    """Variables of the model's shapes, drawn by NumPy: nothing to compile. No variance below 0.5."""
    rng = np.random.default_rng(0)
    tree = jax.eval_shape(partial(model.init, train=False), KEY, *args)
    return jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32) - (leaf.ndim == 4), tree)


def to_torch(leaf):
    return torch.from_numpy(np.array(leaf))


@pytest.mark.parametrize("train", [False, True])
def test_block_is_convolution_normalisation_relu(train):
    x = np.random.default_rng(1).standard_normal((2, 7, 5, 3), np.float32)
    block = ConvBlock((4, 6))
    variables = variables_for(block, x)
    assert shapes(variables["params"]) == {
        "conv1": {"kernel": (3, 3, 3, 4)},
        "norm1": {"bias": (4,), "scale": (4,)},
        "conv2": {"kernel": (3, 3, 4, 6)},
        "norm2": {"bias": (6,), "scale": (6,)},
    }
    y, updated = jax.jit(partial(block.apply, train=train, mutable=["batch_stats"]))(variables, x)
    h = to_torch(x).permute(0, 3, 1, 2)
    for i in (1, 2):
        kernel = to_torch(variables["params"][f"conv{i}"]["kernel"]).permute(3, 2, 0, 1)
        p = jax.tree.map(to_torch, variables["params"][f"norm{i}"])
        s = jax.tree.map(to_torch, variables["batch_stats"][f"norm{i}"])
        old = s["var"].clone()
        h = F.conv2d(h, kernel, padding=1)
        h = F.relu(F.batch_norm(h, s["mean"], s["var"], p["scale"], p["bias"], training=train, momentum=0.1, eps=1e-5))
        new = updated["batch_stats"][f"norm{i}"]  # torch wrote its own in place
        np.testing.assert_allclose(new["mean"], s["mean"], rtol=1e-5, atol=1e-6)
        # Flax keeps the biased variance, torch the unbiased one; a channel has 2 * 7 * 5 = 70 pixels.
        biased = 0.9 * old + (s["var"] - 0.9 * old) * 69 / 70 if train else old
        np.testing.assert_allclose(new["var"], biased, rtol=1e-5)
    np.testing.assert_allclose(y, h.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-5)


def test_block_without_normalisation_has_biases_and_no_statistics():
    block = ConvBlock((4,), window=5, norm=None, activation=None)
    x = np.random.default_rng(1).standard_normal((1, 6, 6, 2), np.float32)
    variables = variables_for(block, x)
    assert shapes(variables) == {"params": {"conv1": {"bias": (4,), "kernel": (5, 5, 2, 4)}}}
    y = jax.jit(partial(block.apply, train=True))(variables, x)
    assert y.shape == (1, 6, 6, 4)
    assert y.min() < 0  # no activation


def test_kernels_start_he_normal():
    variables = jax.jit(partial(ConvBlock((64,)).init, train=True))(KEY, jnp.zeros((1, 1, 1, 64)))
    variance = jnp.var(variables["params"]["conv1"]["kernel"])
    assert abs(float(variance) * 9 * 64 / 2 - 1) < 0.05


def test_block_of_no_convolutions_is_the_identity():
    x = jnp.arange(18.0).reshape(1, 3, 3, 2)
    y, variables = ConvBlock(()).init_with_output(KEY, x, train=True)
    assert variables == {}
    np.testing.assert_array_equal(y, x)


def test_block_in_bfloat16_keeps_parameters_and_statistics_in_float32():
    x = np.random.default_rng(1).standard_normal((2, 8, 8, 3), np.float32) * 10 + 100
    block = ConvBlock((4,), dtype=jnp.bfloat16)
    variables = variables_for(block, x)
    y, updated = jax.jit(partial(block.apply, train=True, mutable=["batch_stats"]))(variables, x)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updated))} == {jnp.dtype(jnp.float32)}
    exact, _ = jax.jit(partial(ConvBlock((4,)).apply, train=True, mutable=["batch_stats"]))(variables, x)
    assert float(jnp.abs(y.astype(jnp.float32) - exact).mean()) < 0.05


def test_a_block_that_is_computed_again_keeps_names_and_numbers_and_little_else():
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 3)).astype(np.float32)
    kept, again = ConvBlock((8, 8, 8)), ConvBlock((8, 8, 8), remat=True)
    variables = variables_for(kept, x)
    assert shapes(variables_for(again, x)) == shapes(variables)

    def backward(block):
        """The gradient, and the bytes that the backward pass holds on to."""

        def loss(params):
            y, _ = block.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])
            return (y**2).mean()

        value, pull = jax.vjp(loss, variables["params"])
        return pull(jnp.ones_like(value))[0], sum(leaf.nbytes for leaf in jax.tree.leaves(pull))

    (gradients, held), (same, less) = backward(kept), backward(again)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), same, gradients)
    assert less < 0.4 * held
