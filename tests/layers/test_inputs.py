from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers import ConvBlock, Normalized, Standardized

KEY = jax.random.key(0)


class Echo(nn.Module):
    """A model that returns what it was given."""

    def __call__(self, x, *, train):
        return x


def normalized(image, mean=(0.5, 0.25), std=(0.5, 2.0), gamma=1.0):
    return np.asarray(Normalized(Echo(), mean, std, gamma).apply({}, image, train=False))


def test_normalized_scales_stored_bytes():
    image = jnp.array([[[[0, 255], [51, 102]]]], jnp.uint8)
    y = normalized(image)
    np.testing.assert_allclose(y, [[[[-1.0, 0.375], [-0.6, 0.075]]]], rtol=1e-6)
    np.testing.assert_array_equal(y, normalized(image.astype(jnp.float32)))


@pytest.mark.parametrize(("stored", "white"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
def test_normalized_takes_the_numbers_that_images_are_stored_in(stored: Any, white):
    image = np.array([[[[0, white]]]], stored)
    model = Normalized(Echo(), (0.5, 0.25), (0.5, 2.0), stored=stored)
    y = np.asarray(model.apply({}, image, train=False))
    np.testing.assert_allclose(y, [[[[-1.0, 0.375]]]], rtol=1e-6)
    with pytest.raises(ValueError, match=f"type int16, but Normalized was made for {stored}"):
        model.apply({}, image.astype(np.int16), train=False)


@pytest.mark.parametrize("wrapped", [Normalized(Echo(), (0.5, 0.25), (0.5, 2.0)), Standardized(Echo())])
def test_where_there_are_64_bits_a_model_sees_32_all_the_same(wrapped):
    image = np.array([[[[0, 255], [51, 102]]]], np.uint8)
    as_is = wrapped.apply({}, image, train=False)
    with jax.enable_x64(True):
        found = wrapped.apply({}, image, train=False)
    assert found.dtype == as_is.dtype == np.float32
    np.testing.assert_array_equal(found, as_is)


def test_normalized_gamma_brightens_before_mean_and_std():
    image = np.full((1, 1, 1, 2), 0.25 * 255, np.float32)
    y = normalized(image, gamma=0.5)
    np.testing.assert_allclose(y, [[[[0.0, 0.125]]]], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_normalized_names_both_channel_counts(channels):
    with pytest.raises(ValueError, match=rf"\(1, 4, 4, {channels}\).* 2 means"):
        normalized(jnp.zeros((1, 4, 4, channels)))
    with pytest.raises(ValueError, match="2 means and 1 standard deviations"):
        normalized(jnp.zeros((1, 4, 4, 2)), std=(1.0,))


def test_normalized_holds_the_model_under_its_own_name():
    model = Normalized(ConvBlock((3,)), (0.5,), (0.5,))
    variables = jax.eval_shape(partial(model.init, train=False), KEY, jnp.zeros((1, 4, 4, 1)))
    assert list(variables["params"]) == ["model"]
    assert list(variables["batch_stats"]) == ["model"]


def test_standardized_takes_out_light_and_haze():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 200, (3, 5, 7, 2)).astype(np.uint8)
    image[2, ..., 1] = 9
    seen = np.asarray(Standardized(Echo()).apply({}, image, train=False))
    expected = image - image.mean((1, 2), keepdims=True)
    expected[:2] /= image[:2].std((1, 2), keepdims=True)
    expected[2, ..., 0] /= image[2, ..., 0].std()
    np.testing.assert_allclose(seen, expected, atol=1e-5)
    hazy = image * np.array([0.5, 0.25]) + np.array([40.0, 90.0])
    np.testing.assert_allclose(np.asarray(Standardized(Echo()).apply({}, hazy, train=False)), seen, atol=1e-3)


@pytest.mark.parametrize("value", [65535, 40001, 1234.567])
def test_standardized_sees_nothing_in_a_channel_of_one_value(value):
    """The mean of equal values is another number where it is rounded."""
    image = np.full((2, 33, 34, 1), value, np.float32)
    assert not np.asarray(Standardized(Echo()).apply({}, image, train=False)).any()


def test_standardized_has_a_gradient_beside_a_channel_of_one_value():
    """Of what comes before it, as a layer that learns to join bands; the root of no variance has no slope."""
    image = jnp.asarray([[[[3.0, 1.0], [3.0, 5.0], [3.0, 3.0]]]])

    def first(x):
        return jnp.asarray(Standardized(Echo()).apply({}, x, train=False))[0, 0, 0].sum()

    gradient = jax.grad(first)(image)
    np.testing.assert_allclose(gradient[..., 0], [[[2e5 / 3, -1e5 / 3, -1e5 / 3]]], rtol=1e-5)
    assert np.isfinite(gradient).all()


def test_standardized_keeps_the_noise_of_bright_images():
    image = (5e4 + np.random.default_rng(0).normal(size=(1, 300, 300, 1))).astype(np.float32)
    wide = image.astype(np.float64)
    expected = (wide - wide.mean()) / wide.std()
    seen = np.asarray(Standardized(Echo()).apply({}, image, train=False))
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-4)


def test_a_channel_of_one_value_is_divided_by_no_zero():
    with pytest.raises(ValueError, match=r"standard deviations \(0.5, 0.0\): give numbers above 0"):
        Normalized(Echo(), (0.5, 0.5), (0.5, 0.0)).apply({}, np.ones((1, 2, 2, 2), np.float32), train=False)
