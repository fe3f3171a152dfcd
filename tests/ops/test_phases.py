"""Taking fine arrays apart, and weaving them together."""

import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops.phases import apart, repeated, woven


@pytest.mark.parametrize("factors", [(1, 3), (3, 1), (3, 3), (1, 1)])
def test_woven_is_what_was_taken_apart(factors):
    fine = jnp.arange(2 * 6 * 9 * 2).reshape(2, 6, 9, 2)
    phases = apart(fine, factors)
    assert len(phases) == factors[0] * factors[1]
    np.testing.assert_array_equal(woven(phases, factors), fine)


def test_every_pixel_is_repeated_in_its_block():
    x = np.arange(12).reshape(1, 2, 3, 2)
    np.testing.assert_array_equal(repeated(jnp.asarray(x), (2, 3)), x.repeat(2, 1).repeat(3, 2))
