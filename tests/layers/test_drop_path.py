import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.layers import DropPath, drop_path_rates

X = jnp.arange(1.0, 1 + 4000 * 6).reshape(4000, 2, 3)


def test_whole_images_are_left_out_and_the_rest_is_scaled():
    y = DropPath(0.25).apply({}, X, train=True, rngs={"dropout": jax.random.key(0)})
    assert isinstance(y, jax.Array)
    ratio = np.asarray(y / X)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)
    kept = ratio[:, 0, 0] > 0
    np.testing.assert_allclose(ratio[kept], 4 / 3, rtol=1e-5)
    assert abs(kept.mean() - 0.75) < 0.03


def test_nothing_is_left_out_unless_training_or_at_rate_zero():
    np.testing.assert_array_equal(DropPath(0.25).apply({}, X, train=False), X)
    np.testing.assert_array_equal(DropPath(0.0).apply({}, X, train=True), X)


@pytest.mark.parametrize("rate", [-1.0, 2.0])
def test_what_is_no_share_is_refused(rate: float):
    with pytest.raises(ValueError, match=rf"share of images without a branch, in 0\.\.1, got {rate}"):
        DropPath(rate)


def test_sixteen_bits_stay_sixteen_bits():
    y = DropPath(0.5).apply({}, X.astype(jnp.bfloat16), train=True, rngs={"dropout": jax.random.key(0)})
    assert isinstance(y, jax.Array)
    assert y.dtype == jnp.bfloat16


def test_rates_rise_evenly_over_all_stages():
    first, second = drop_path_rates(0.4, (2, 3))
    np.testing.assert_allclose(first + second, [0, 0.1, 0.2, 0.3, 0.4])
    assert (len(first), len(second)) == (2, 3)
