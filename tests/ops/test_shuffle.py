import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax.ops import pixel_shuffle, pixel_unshuffle


def nhwc(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


def nchw(array):
    return torch.from_numpy(array.transpose(0, 3, 1, 2).copy())


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.integers(1, 33), st.integers(1, 33), st.integers(1, 3), st.integers(1, 4))
def test_equal_torch_forward_and_gradient(h, w, c, factor):
    rng = np.random.default_rng(0)
    deep = rng.standard_normal((2, h, w, c * factor**2), np.float32)
    fine = rng.standard_normal((2, h * factor, w * factor, c), np.float32)
    pairs = (
        (pixel_shuffle, torch.nn.functional.pixel_shuffle, deep, fine),
        (pixel_unshuffle, torch.nn.functional.pixel_unshuffle, fine, deep),
    )
    for op, reference, x, gradient in pairs:
        y, pull = jax.vjp(lambda x, op=op: op(x, factor), x)
        tx = nchw(x).requires_grad_()
        ty = reference(tx, factor)
        (tdx,) = torch.autograd.grad(ty, tx, nchw(gradient))
        assert np.array_equal(y, nhwc(ty))
        assert np.array_equal(pull(gradient)[0], nhwc(tdx))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32, jnp.bool])
def test_undo_each_other_in_any_dtype_and_under_vmap(dtype):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, 2, 5, 4, 18)), dtype)
    y = jax.vmap(lambda x: pixel_shuffle(x, 3))(x)
    assert y.shape == (3, 2, 15, 12, 2)
    assert y.dtype == dtype
    assert np.array_equal(jax.vmap(lambda y: pixel_unshuffle(y, 3))(y), x)


def test_second_order_gradient():
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4), np.float32)
    slope = jax.grad(lambda x: (pixel_shuffle(x, 2) ** 3).sum())
    np.testing.assert_allclose(jax.grad(lambda x: (slope(x) ** 2).sum())(x), 36 * x**3, rtol=1e-6)


@pytest.mark.parametrize(
    ("op", "shape", "factor"),
    [
        (pixel_shuffle, (1, 4, 4, 6), 2),
        (pixel_shuffle, (4, 4, 8), 2),
        (pixel_shuffle, (1, 4, 4, 8), 0),
        (pixel_unshuffle, (1, 5, 4, 1), 2),
        (pixel_unshuffle, (1, 4, 5, 1), 2),
        (pixel_unshuffle, (4, 4, 1), 2),
        (pixel_unshuffle, (1, 4, 4, 1), 0),
    ],
)
def test_bad_geometry_is_named(op, shape, factor):
    with pytest.raises(ValueError, match=str(shape).replace("(", r"\(").replace(")", r"\)")):
        jax.eval_shape(lambda x: op(x, factor), jax.ShapeDtypeStruct(shape, jnp.float32))
