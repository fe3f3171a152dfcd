import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiler import AS_USERS
from flax import linen as nn
from jax.sharding import AxisType

from segjax.layers import Conv, drawn

INIT = nn.initializers.he_normal()
SHAPE = (3, 3, 4, 5)


@pytest.mark.parametrize("key", [jax.random.key(1), jax.random.PRNGKey(1)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_numbers_are_those_of_the_initializer(key, dtype):
    def ours(key):
        return drawn(INIT)(key, SHAPE, dtype)

    def plain(key):
        return INIT(key, SHAPE, dtype)

    expected, keys = plain(key), jax.random.split(key, 3)
    assert expected.dtype == dtype
    np.testing.assert_array_equal(ours(key), expected)
    np.testing.assert_array_equal(jax.vmap(ours)(keys), jax.vmap(plain)(keys))
    # To optimise what draws numbers takes seconds a program; with and without it, the last bits may be others.
    expected = jax.jit(plain)(key)
    np.testing.assert_array_equal(jax.jit(ours)(key), expected)
    np.testing.assert_array_equal(jax.jit(jax.vmap(ours))(keys), jax.jit(jax.vmap(plain))(keys))
    with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))):
        np.testing.assert_array_equal(jax.jit(ours)(key), expected)


def test_nothing_is_traced_where_shapes_are_asked_for():
    traced = []

    def init(key, shape, dtype):
        traced.append(shape)
        return INIT(key, shape, dtype)

    conv, image = Conv(5, kernel_init=init), jnp.zeros((1, 6, 6, 4))
    shapes = jax.eval_shape(conv.init, jax.random.key(0), image)
    assert shapes["params"]["kernel"].shape == SHAPE
    assert traced == []
    variables = jax.jit(conv.init)(jax.random.key(0), image)
    assert traced == [SHAPE]
    conv.apply(variables, image)
    assert traced == [SHAPE]


def test_it_is_no_part_of_what_is_differentiated():
    def loss(x):
        return (drawn(INIT)(jax.random.key(0), SHAPE) * x).sum()

    def derivatives(x):
        return INIT(jax.random.key(0), SHAPE).sum(), jax.grad(loss)(x), jax.jvp(loss, (x,), (3.0,))[1]

    total, backward, forward = jax.jit(derivatives, compiler_options=AS_USERS)(2.0)
    np.testing.assert_allclose(backward, total, rtol=1e-6)
    np.testing.assert_allclose(forward, 3 * total, rtol=1e-6)
