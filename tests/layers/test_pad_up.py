import jax.numpy as jnp
import numpy as np

from segjax.layers import pad_up


def test_zeros_follow_until_the_next_multiple():
    y = pad_up(jnp.ones((1, 5, 8, 2)), 4)
    assert y.shape == (1, 8, 8, 2)
    np.testing.assert_array_equal(y[:, :5], 1)
    np.testing.assert_array_equal(y[:, 5:], 0)
