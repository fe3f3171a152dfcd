import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from jax.typing import DTypeLike

from segjax.ops import semi_shift_conv


def arrays(rows, columns, factor, size=3, dtype: DTypeLike = np.float32):
    rng = np.random.default_rng(rows * columns)
    coarse = -(-rows // factor), -(-columns // factor)
    shapes = (2, *coarse, 3), (2, rows, columns, 3), (size, size, 3, 4), (2, rows, columns, 4)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def by_loops(x, guide, kernel, gradient, factor):
    """Two windows of the kernel for each fine pixel, and what each of their terms gives back."""
    x, guide, kernel, gradient = (a.astype(np.float64) for a in (x, guide, kernel, gradient))
    y, dx, dguide, dkernel = np.zeros_like(gradient), np.zeros_like(x), np.zeros_like(guide), np.zeros_like(kernel)
    reach = kernel.shape[0] // 2
    for image, row, column, a, b in np.ndindex(*y.shape[:3], *kernel.shape[:2]):
        pull = gradient[image, row, column]
        for source, back, i, j in (
            (guide, dguide, row + a - reach, column + b - reach),
            (x, dx, row // factor + a - reach, column // factor + b - reach),
        ):
            if 0 <= i < source.shape[1] and 0 <= j < source.shape[2]:
                y[image, row, column] += source[image, i, j] @ kernel[a, b]
                back[image, i, j] += kernel[a, b] @ pull
                dkernel[a, b] += np.outer(source[image, i, j], pull)
    return y, dx, dguide, dkernel


@pytest.mark.parametrize(
    ("rows", "columns", "factor", "size"), [(1, 1, 2, 3), (5, 7, 2, 3), (8, 6, 4, 3), (5, 3, 1, 1)]
)
def test_equals_loops_forward_and_gradients(rows, columns, factor, size):
    x, guide, kernel, gradient = arrays(rows, columns, factor, size)

    @jax.jit
    def run(x, guide, kernel, gradient):
        y, pull = jax.vjp(lambda *a: semi_shift_conv(*a, factor=factor), x, guide, kernel)
        return y, *pull(gradient)

    references = by_loops(x, guide, kernel, gradient, factor)
    for result, reference in zip(run(x, guide, kernel, gradient), references, strict=True):
        np.testing.assert_allclose(result, reference, rtol=0, atol=1e-5 * abs(reference).max())


def test_gradients_by_finite_differences():
    with jax.enable_x64(True):
        inputs = arrays(3, 3, 2, dtype=np.float64)[:3]
        run = jax.jit(lambda *a: semi_shift_conv(*a, factor=2))
        assert run(*inputs).dtype == jnp.float64
        check_grads(run, inputs, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_narrow_floats_stay_narrow():
    inputs = [jnp.asarray(a, jnp.bfloat16) for a in arrays(4, 6, 2)[:3]]
    y = jax.jit(lambda *a: semi_shift_conv(*a, factor=2))(*inputs)
    assert y.dtype == jnp.bfloat16
    exact = semi_shift_conv(*(a.astype(jnp.float32) for a in inputs), factor=2)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-7, atol=0.1)


@pytest.mark.parametrize(
    ("x", "guide", "kernel", "factor", "says"),
    [
        ((4, 4, 3), (1, 8, 8, 3), (3, 3, 3, 4), 2, r"\(4, 4, 3\)"),
        ((1, 4, 4, 3), (1, 8, 8, 3), (3, 3, 3, 4), 0, "by 0"),
        ((1, 4, 4, 3), (1, 9, 8, 3), (3, 3, 3, 4), 2, r"takes x of shape \(1, 5, 4, 3\)"),
        ((1, 4, 4, 2), (1, 8, 8, 3), (3, 3, 3, 4), 2, r"got \(1, 4, 4, 2\)"),
        ((1, 4, 4, 3), (1, 8, 8, 3), (3, 3, 2, 4), 2, r"\(3, 3, 2, 4\)"),
    ],
)
def test_bad_geometry_is_named(x, guide, kernel, factor, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(
            lambda *arrays: semi_shift_conv(*arrays, factor=factor),
            *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (x, guide, kernel)),
        )
