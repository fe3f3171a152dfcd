from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segjax.ops import resize_conv
from segjax.ops.resize_conv import conv_of_nearest


def arrays(size, taps, factor, dtype="float32"):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((2, *size, 2)), rng.standard_normal((*taps, 2, 3))
    gradient = rng.standard_normal((2, factor * size[0], factor * size[1], 3))
    return x.astype(dtype), kernel.astype(dtype), gradient.astype(dtype)


def with_gradients(case, factor):
    x, kernel, gradient = case
    y, pull = jax.vjp(lambda x, kernel: resize_conv(x, kernel, factor), x, kernel)
    return y, *pull(gradient)


def run(case, factor):
    return jax.jit(partial(with_gradients, factor=factor))(case)


def two_steps(case, factor):
    """Upsampling and then a convolution, by torch in float64."""
    x, kernel, gradient = case
    image = lambda a: torch.from_numpy(a.astype(np.float64).transpose(0, 3, 1, 2))  # noqa: E731
    tx, weight = image(x), torch.from_numpy(kernel.astype(np.float64).transpose(3, 2, 0, 1))
    tx.requires_grad_()
    weight.requires_grad_()
    up = torch.nn.functional.interpolate(tx, scale_factor=factor, mode="nearest")
    rows, columns = kernel.shape[:2]
    around = ((columns - 1) // 2, columns // 2, (rows - 1) // 2, rows // 2)
    y = torch.nn.functional.conv2d(torch.nn.functional.pad(up, around), weight)
    dx, dkernel = torch.autograd.grad(y, (tx, weight), image(gradient))
    back = lambda a: a.detach().numpy().transpose(0, 2, 3, 1)  # noqa: E731
    return back(y), back(dx), dkernel.numpy().transpose(2, 3, 1, 0)


def assert_close(results, references, tolerance):
    for result, reference in zip(results, references, strict=True):
        assert result.shape == reference.shape
        np.testing.assert_allclose(result, reference, rtol=0, atol=tolerance * abs(reference).max())


SIZES = st.tuples(st.integers(1, 33), st.integers(1, 33))
TAPS = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=10, deadline=None, derandomize=True)
@given(SIZES, TAPS, st.integers(2, 4))
@example((5, 4), (3, 3), 2)
@example((1, 1), (5, 2), 2)
@example((3, 2), (1, 1), 3)
def test_equals_the_two_steps(size, taps, factor):
    case = arrays(size, taps, factor)
    assert_close(run(case, factor), two_steps(case, factor), 1e-5)


def test_gradients_to_second_order_by_finite_differences():
    with jax.enable_x64(True):
        case = arrays((2, 3), (3, 2), 2, "float64")
        assert_close(run(case, 2), two_steps(case, 2), 1e-13)
        check_derivatives(resize_conv, *case[:2])


def test_nothing_of_the_input_is_at_the_high_resolution():
    text = jax.jit(lambda case: with_gradients(case, 2)).lower(arrays((6, 5), (3, 3), 2)).as_text()
    assert "2x6x5x2x" in text
    assert "2x12x10x3x" in text
    assert "2x12x10x2x" not in text


def test_bfloat16():
    case = arrays((4, 5), (3, 3), 2, jnp.bfloat16)
    results = run(case, 2)
    assert all(result.dtype == jnp.bfloat16 for result in results)
    # The summed kernel is rounded too.
    tolerance = 2 * float(jnp.finfo(jnp.bfloat16).eps)
    assert_close([np.asarray(r, np.float64) for r in results], two_steps(case, 2), tolerance)


@pytest.mark.parametrize(
    ("x", "kernel", "factor", "says"),
    [
        ((4, 4, 2), (3, 3, 2, 1), 2, r"x \(n, h, w, c\).*\(4, 4, 2\)"),
        ((1, 4, 4, 2), (3, 3, 3, 1), 2, r"\(1, 4, 4, 2\) and \(3, 3, 3, 1\)"),
        ((1, 4, 4, 2), (3, 3, 2, 1), 1, "factor must be 2 or more, got 1"),
    ],
)
def test_bad_geometry(x, kernel, factor, says):
    with pytest.raises(ValueError, match=says):
        resize_conv(jnp.zeros(x), jnp.zeros(kernel), factor)


@pytest.mark.parametrize("taps", [(3, 3), (1, 5), (4, 2)])
@pytest.mark.parametrize("size", [(1, 1), (3, 5)])
def test_a_convolution_of_what_nearest_gives_is_torchs(size, taps):
    x, kernel, gradient = arrays(size, taps, 2)

    def both(x, kernel, gradient):
        y, pull = jax.vjp(conv_of_nearest, x, kernel)
        return y, *pull(gradient)

    assert_close(jax.jit(both)(x, kernel, gradient), two_steps((x, kernel, gradient), 2), 1e-5)
    mapped = jax.jit(jax.vmap(conv_of_nearest))(x[:, None], np.stack([kernel] * 2))[:, 0]
    assert_close([mapped], two_steps((x, kernel, gradient), 2)[:1], 1e-5)


def test_only_a_program_for_one_cpu_upsamples_and_convolves_at_once():
    def run(x, kernel, gradient):
        return jax.vjp(conv_of_nearest, x, kernel)[1](gradient)

    x, kernel, gradient = map(jnp.asarray, arrays((5, 7), (3, 3), 2))
    traced = jax.jit(lambda *case: (conv_of_nearest(*case[:2]), *run(*case))).trace(x, kernel, gradient)
    at_once, apart = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda"))
    assert "tensor<2x10x14x2xf32>" not in at_once  # what was upsampled
    assert "tensor<2x10x14x2xf32>" in apart
