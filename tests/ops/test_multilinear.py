import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.sharding import AxisType

from segjax import ops
from segjax.ops.multilinear import Multilinear, derivative, like

traced = []


def doubled(x: Array, _: None) -> Array:
    traced.append(x.shape)
    return x * 2


X = jnp.arange(12.0).reshape(2, 1, 2, 3)
DOUBLE = Multilinear((doubled, doubled), None, arrays=(like(X), like(X)))


def run(x: Array) -> Array:
    return derivative(DOUBLE, 1, x)


def test_what_has_a_known_shape_is_traced_where_it_is_computed_and_no_sooner():
    traced.clear()
    assert jax.eval_shape(run, X).shape == X.shape
    assert jax.eval_shape(jax.grad(lambda x: run(x).sum()), X).shape == X.shape
    assert jax.eval_shape(jax.vmap(run, in_axes=1, out_axes=2), jnp.stack([X] * 5, 1)).shape == (2, 1, 5, 2, 3)
    assert traced == []
    np.testing.assert_array_equal(jax.jit(run)(X), X * 2)
    np.testing.assert_array_equal(jax.grad(lambda x: run(x).sum())(X), jnp.full_like(X, 2))
    assert traced


def test_on_a_mesh_the_form_itself_says_where_the_result_lies():
    with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))):
        placed = jax.reshard(X, jax.P("data"))
        assert jax.typeof(jax.jit(run)(placed)).sharding.spec == jax.P("data", None, None, None)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (lambda x, kernel: ops.conv(x, kernel), [(1, 4, 4, 4), (3, 3, 4, 2)]),
        (lambda x, kernel: ops.conv_transpose(x, kernel, 2), [(1, 4, 4, 4), (2, 2, 4, 3)]),
        (lambda x, kernels: ops.carafe(x, kernels), [(1, 4, 4, 4), (1, 8, 8, 9)]),
        (lambda x, keys: ops.window_similarity(x, keys, window=3), [(1, 8, 8, 4), (1, 4, 4, 4)]),
        (lambda x, offsets: ops.dysample(x, offsets), [(1, 4, 4, 4), (1, 4, 4, 32)]),
        (lambda x: ops.resize(x, (9, 7)), [(1, 4, 4, 4)]),
        (lambda x: ops.resize(x, (8, 8), "nearest"), [(1, 4, 4, 4)]),
    ],
    ids=["conv", "conv_transpose", "carafe", "window_similarity", "dysample", "resize", "nearest"],
)
def test_arrays_of_numpy_are_of_the_bits_that_jax_has(op, shapes):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape) for shape in shapes]
    result = op(*arrays)
    assert result.dtype == jnp.float32
    np.testing.assert_array_equal(result, op(*(jnp.asarray(array, jnp.float32) for array in arrays)))
