from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import check_derivatives
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.typing import DTypeLike

from segjax.ops import carafe, resize


def arrays(h, w, factor, size, groups, dtype: DTypeLike = np.float32):
    rng = np.random.default_rng(h * w)
    x = rng.standard_normal((2, h, w, 2 * groups))
    kernels = rng.standard_normal((2, h * factor, w * factor, groups * size**2))
    gradient = rng.standard_normal((2, h * factor, w * factor, 2 * groups))
    return x.astype(dtype), kernels.astype(dtype), gradient.astype(dtype)


def by_loops(x, kernels, gradient, groups):
    """The paper's equations 2 and 4, and what each term of their sums gives back."""
    x, kernels, gradient = (a.astype(np.float64) for a in (x, kernels, gradient))
    n, height, width, channels = kernels.shape
    _, h, w, c = x.shape
    size = round((channels // groups) ** 0.5)
    reach = size // 2
    y, dx, dkernels = np.zeros((n, height, width, c)), np.zeros_like(x), np.zeros_like(kernels)
    for image in range(n):
        for row in range(height):
            for column in range(width):
                i, j = row * h // height, column * w // width
                for group in range(groups):
                    block = slice(group * c // groups, (group + 1) * c // groups)
                    for down in range(-reach, reach + 1):
                        for right in range(-reach, reach + 1):
                            if not (0 <= i + down < h and 0 <= j + right < w):
                                continue
                            entry = (group * size + down + reach) * size + right + reach
                            weight, pixel = kernels[image, row, column, entry], x[image, i + down, j + right, block]
                            pull = gradient[image, row, column, block]
                            y[image, row, column, block] += weight * pixel
                            dx[image, i + down, j + right, block] += weight * pull
                            dkernels[image, row, column, entry] += pull @ pixel
    return y, dx, dkernels


def assert_equals_loops(h, w, factor, size, groups):
    x, kernels, gradient = arrays(h, w, factor, size, groups)

    @jax.jit
    def run(x, kernels, gradient):
        y, pull = jax.vjp(partial(carafe, groups=groups), x, kernels)
        return y, *pull(gradient)

    references = by_loops(x, kernels, gradient, groups)
    for result, reference, tolerance in zip(run(x, kernels, gradient), references, (1e-6, 1e-5, 1e-5), strict=True):
        np.testing.assert_allclose(result, reference, rtol=0, atol=tolerance * abs(reference).max())


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.sampled_from([1, 3]), st.integers(1, 3))
@example(1, 1, 2, 5, 1)
@example(4, 6, 2, 5, 2)
@example(33, 1, 1, 3, 1)
def test_equals_the_papers_equations_forward_and_gradients(h, w, factor, size, groups):
    assert_equals_loops(h, w, factor, size, groups)


@pytest.mark.usefixtures("as_on_tpus")
@pytest.mark.parametrize(("factor", "size", "groups"), [(2, 5, 1), (3, 3, 2)])
def test_by_phases_it_equals_the_papers_equations(factor, size, groups):
    assert_equals_loops(4, 5, factor, size, groups)


def test_a_kernel_of_one_centre_is_nearest_upsampling():
    x, kernels, _ = map(jnp.asarray, arrays(5, 4, 2, 3, 1))
    kernels = jnp.broadcast_to((jnp.arange(9) == 4).astype(kernels.dtype), kernels.shape)
    assert np.array_equal(carafe(x, kernels), resize(x, (10, 8), "nearest"))


def test_gradients_of_first_and_second_order_by_finite_differences():
    with jax.enable_x64(True):
        x, kernels, _ = map(jnp.asarray, arrays(2, 3, 2, 3, 1, np.float64))
        assert carafe(x, kernels).dtype == jnp.float64
        check_derivatives(carafe, x, kernels)


def test_narrow_floats_are_summed_in_float32():
    x, kernels, gradient = (jnp.asarray(a, jnp.bfloat16) for a in arrays(3, 4, 2, 5, 1))
    y, pull = jax.vjp(jax.jit(carafe), x, kernels)
    assert [y.dtype, *(g.dtype for g in pull(gradient))] == [jnp.bfloat16] * 3
    exact = carafe(x.astype(jnp.float32), kernels.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-6)


def test_under_vmap():
    x, kernels, _ = arrays(3, 4, 2, 3, 2)
    one = jax.jit(partial(carafe, groups=2))
    y = jax.jit(jax.vmap(partial(carafe, groups=2)))(x[:, None], kernels[:, None])
    np.testing.assert_allclose(y[:, 0], one(x, kernels), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "kernels", "groups", "says"),
    [
        ((4, 4, 3), (1, 8, 8, 9), 1, r"\(4, 4, 3\)"),
        ((1, 4, 4, 3), (8, 8, 9), 1, r"\(8, 8, 9\)"),
        ((1, 4, 4, 3), (1, 8, 8, 9), 2, "2 groups"),
        ((1, 4, 4, 3), (1, 8, 8, 16), 1, r"\(1, 8, 8, 16\)"),
        ((1, 4, 4, 3), (1, 8, 8, 10), 1, r"\(1, 8, 8, 10\)"),
        ((1, 4, 4, 3), (1, 8, 4, 9), 1, r"\(1, 8, 4, 9\)"),
        ((1, 4, 4, 3), (1, 9, 9, 9), 1, r"\(1, 9, 9, 9\)"),
        ((1, 4, 4, 3), (1, 2, 2, 9), 1, r"\(1, 2, 2, 9\)"),
        ((1, 4, 4, 3), (2, 8, 8, 9), 1, r"\(2, 8, 8, 9\)"),
    ],
)
def test_bad_geometry_is_named(x, kernels, groups, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(
            partial(carafe, groups=groups),
            jax.ShapeDtypeStruct(x, jnp.float32),
            jax.ShapeDtypeStruct(kernels, jnp.float32),
        )
