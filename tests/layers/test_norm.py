from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from segjax.errors import ExperimentError
from segjax.layers import BatchNorm, ConvBlock, batch_norm, instance_norm

RNG = np.random.default_rng(0)
X = 3 + 2 * RNG.standard_normal((4, 5, 3, 6)).astype(np.float32)
VARIABLES = {
    "params": {name: RNG.uniform(0.5, 1.5, 6).astype(np.float32) for name in ("scale", "bias")},
    "batch_stats": {name: RNG.uniform(0.5, 1.5, 6).astype(np.float32) for name in ("mean", "var")},
}


def found(module, variables, x, average):
    """What it gives, the statistics after it, and the gradients of a loss of it by its parameters and by `x`."""

    @jax.jit
    def loss(params, x):
        run = partial(module.apply, mutable=["batch_stats"])
        y, after = run({**variables, "params": params}, x, use_running_average=average)
        return (jnp.sin(y.astype(jnp.float32)) * jnp.arange(float(y.size)).reshape(y.shape)).mean(), (
            y,
            after,
        )

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(variables["params"], x)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("dtype", [None, jnp.float32, jnp.bfloat16])
def test_it_is_flaxs_in_all_that_it_gives_and_changes(dtype, average):
    given = {"momentum": 0.9, "epsilon": 1e-5, "dtype": dtype}
    x = X if dtype != jnp.bfloat16 else jnp.asarray(X, dtype)
    ours = found(BatchNorm(**given), VARIABLES, x, average)
    with jax.numpy_dtype_promotion("standard"):  # which Flax's needs
        flaxs = found(nn.BatchNorm(**given), VARIABLES, x, average)
    assert jax.tree.map(jnp.result_type, ours) == jax.tree.map(jnp.result_type, flaxs)
    # Where float32 differs in its last bits, 16 bits may be rounded to a neighbour.
    near = partial(np.testing.assert_allclose, rtol=1e-4 if dtype != jnp.bfloat16 else 0.01, atol=2e-5)
    jax.tree.map(near, jax.tree.map(np.float32, ours), jax.tree.map(np.float32, flaxs))


def test_float64_beside_parameters_of_float32():
    with jax.enable_x64(True):
        y, _ = batch_norm(dtype=jnp.float64).apply(
            VARIABLES, X.astype(np.float64), use_running_average=False, mutable=["batch_stats"]
        )
        expected = (X - X.mean((0, 1, 2), np.float64)) / np.sqrt(X.var((0, 1, 2), np.float64) + 1e-5)
        np.testing.assert_allclose(y, expected * VARIABLES["params"]["scale"] + VARIABLES["params"]["bias"], rtol=1e-9)


def test_devices_whose_shares_are_one_batch_have_its_statistics():
    module = batch_norm(use_running_average=False, axis_name="data")
    run = jax.vmap(partial(module.apply, VARIABLES, mutable=["batch_stats"]), axis_name="data")
    y, after = run(X.reshape(2, 2, 5, 3, 6))
    whole, expected = batch_norm(use_running_average=False).apply(VARIABLES, X, mutable=["batch_stats"])
    np.testing.assert_allclose(y.reshape(X.shape), whole, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, np.stack([b, b]), rtol=1e-6), after, expected)


def test_the_backward_pass_keeps_the_features_alone():
    """Not what is left of them without their mean, which is as large."""

    def run(x):
        return batch_norm(use_running_average=False).apply(VARIABLES, x, mutable=["batch_stats"])[0]

    kept = [leaf for leaf in jax.tree.leaves(jax.vjp(run, X)[1]) if leaf.shape == X.shape]
    assert all((leaf == X).all() for leaf in kept)
    assert kept


def test_training_on_one_value_a_channel_is_refused():
    """Its mean is the value, so that all that is left of it is zero."""
    block, image = ConvBlock((4,)), jnp.zeros((1, 1, 1, 3))
    variables = block.init(jax.random.key(0), image, train=False)
    train = partial(block.apply, variables, train=True, mutable=["batch_stats"])
    with pytest.raises(ExperimentError, match=r"features of shape \(1, 1, 1, 4\) has one value a channel, .* larger"):
        train(image)
    with pytest.raises(ExperimentError, match=r"features of shape \(0, 8, 8, 4\) has no value to learn from: train"):
        train(jnp.zeros((0, 8, 8, 3)))  # or its statistics would be NaN from there on
    jax.eval_shape(train, jnp.zeros((2, 1, 1, 3)))
    jax.eval_shape(partial(block.apply, variables, train=False), image)


def test_one_value_a_channel_of_an_image_is_refused():
    """As torch does, trained or not; a symbolic size may be larger."""
    block = ConvBlock((4,), norm=instance_norm)
    variables = block.init(jax.random.key(0), jnp.zeros((2, 1, 1, 3)), train=False)
    run = partial(block.apply, variables, train=False)
    with pytest.raises(ExperimentError, match=r"features of shape \(2, 1, 1, 4\) has one value a channel"):
        run(jnp.zeros((2, 1, 1, 3)))
    jax.eval_shape(run, jnp.zeros((2, 1, 2, 3)))
    norm = instance_norm(use_running_average=True, dtype=jnp.float32, name="norm")
    jax.eval_shape(partial(norm.apply, {}), jax.ShapeDtypeStruct(export.symbolic_shape("n, h, w, 3"), jnp.float32))
