from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from jax.typing import DTypeLike

from segjax.ops import window_similarity


def arrays(h, w, factor, window, dtype: DTypeLike = np.float32):
    rng = np.random.default_rng(h * w)
    shapes = (2, h * factor, w * factor, 3), (2, h, w, 3), (2, h * factor, w * factor, window**2)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def by_loops(queries, keys, gradient, window):
    """The paper's inner products one by one, and what each gives back."""
    queries, keys, gradient = (a.astype(np.float64) for a in (queries, keys, gradient))
    _, h, w, _ = keys.shape
    n, height, width, _ = queries.shape
    y, dqueries, dkeys = np.zeros((n, height, width, window**2)), np.zeros_like(queries), np.zeros_like(keys)
    for image, row, column, entry in np.ndindex(y.shape):
        down, right = divmod(entry, window)
        i = row // (height // h) + down - window // 2
        j = column // (width // w) + right - window // 2
        if 0 <= i < h and 0 <= j < w:
            y[image, row, column, entry] = queries[image, row, column] @ keys[image, i, j]
            dqueries[image, row, column] += gradient[image, row, column, entry] * keys[image, i, j]
            dkeys[image, i, j] += gradient[image, row, column, entry] * queries[image, row, column]
    return y, dqueries, dkeys


def assert_equals_loops(h, w, factor, window):
    queries, keys, gradient = arrays(h, w, factor, window)

    @jax.jit
    def run(queries, keys, gradient):
        y, pull = jax.vjp(partial(window_similarity, window=window), queries, keys)
        return y, *pull(gradient)

    references = by_loops(queries, keys, gradient, window)
    for result, reference in zip(run(queries, keys, gradient), references, strict=True):
        np.testing.assert_allclose(result, reference, rtol=0, atol=1e-5 * abs(reference).max())


@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.sampled_from([1, 3]))
@example(1, 1, 2, 5)
@example(5, 3, 4, 3)
def test_equals_the_papers_inner_products_forward_and_gradients(h, w, factor, window):
    assert_equals_loops(h, w, factor, window)


@pytest.mark.usefixtures("as_on_tpus")
def test_by_phases_it_equals_the_papers_inner_products():
    assert_equals_loops(4, 5, 2, 3)


def test_gradients_by_finite_differences():
    with jax.enable_x64(True):
        queries, keys, _ = arrays(2, 3, 2, 3, np.float64)
        run = jax.jit(partial(window_similarity, window=3))
        assert run(queries, keys).dtype == jnp.float64
        check_grads(run, (queries, keys), order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_narrow_floats_are_summed_in_float32():
    queries, keys, _ = (jnp.asarray(a, jnp.bfloat16) for a in arrays(3, 4, 2, 5))
    y = jax.jit(window_similarity)(queries, keys)
    assert y.dtype == jnp.bfloat16
    exact = window_similarity(queries.astype(jnp.float32), keys.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize(
    ("queries", "keys", "window", "says"),
    [
        ((8, 8, 3), (1, 4, 4, 3), 5, r"\(8, 8, 3\)"),
        ((1, 8, 8, 3), (1, 4, 4, 3), 4, "window of 4"),
        ((1, 8, 8, 4), (1, 4, 4, 3), 5, r"\(1, 8, 8, 4\)"),
        ((1, 9, 8, 3), (1, 4, 4, 3), 5, r"\(1, 9, 8, 3\)"),
        ((1, 2, 2, 3), (1, 4, 4, 3), 5, r"\(1, 2, 2, 3\)"),
    ],
)
def test_bad_geometry_is_named(queries, keys, window, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(
            partial(window_similarity, window=window),
            jax.ShapeDtypeStruct(queries, jnp.float32),
            jax.ShapeDtypeStruct(keys, jnp.float32),
        )
