import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from segjax import ops

SIZES = [(1, 1), (2, 5), (7, 4), (33, 20)]
WINDOWS = [(2, 2), (3, 3), (2, 3), (1, 4)]


def torch_of(x):
    return torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy()).requires_grad_()


def nhwc(tensor):
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


CASES = [
    (size, window, stride, pad, ceil, include)
    for size, window, stride, pad, ceil, include in itertools.product(
        SIZES, WINDOWS, (None, 1, 2, 3), (0, 1), (False, True), (False, True)
    )
    if all(2 * pad <= length <= edge + 2 * pad for edge, length in zip(size, window, strict=True))
]


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5, 6))
def pooled(x, gradient, window, strides, padding, ceil_mode, count_include_pad):
    options = {"strides": strides, "padding": padding, "ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    y, pullback = jax.vjp(lambda x: ops.avg_pool(x, window, **options), x)
    return y, pullback(gradient)[0]


def test_values_and_gradients_are_torchs():
    rng = np.random.default_rng(0)
    for case in (CASES[i] for i in rng.permutation(len(CASES))[:40]):  # each compiles
        size, window, stride, pad, ceil, include = case
        x = rng.standard_normal((2, *size, 3)).astype(np.float32)
        reference = torch_of(x)
        expected = functional.avg_pool2d(reference, window, stride, pad, ceil, include)
        gradient = rng.standard_normal(nhwc(expected).shape).astype(np.float32)
        expected.backward(torch.from_numpy(gradient.transpose(0, 3, 1, 2).copy()))
        y, dx = pooled(x, gradient, *case[1:])
        np.testing.assert_allclose(y, nhwc(expected), rtol=1e-6, atol=1e-6, err_msg=str(case))
        assert reference.grad is not None
        np.testing.assert_allclose(dx, nhwc(reference.grad), rtol=1e-5, atol=1e-6, err_msg=str(case))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 33), (40, 5)])
def test_adaptive_pooling_is_torchs(size):
    x = np.random.default_rng(1).standard_normal((2, 33, 7, 3)).astype(np.float32)
    reference = torch_of(x)
    expected = functional.adaptive_avg_pool2d(reference, size)
    y, pullback = jax.vjp(lambda x: ops.adaptive_avg_pool(x, size), x)
    np.testing.assert_allclose(y, nhwc(expected), rtol=1e-5, atol=1e-6)
    expected.sum().backward()
    assert reference.grad is not None
    np.testing.assert_allclose(pullback(jnp.ones_like(y))[0], nhwc(reference.grad), rtol=1e-5, atol=1e-6)


def test_padding_may_differ_from_side_to_side():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    y = ops.avg_pool(x, 2, padding=((1, 0), (0, 1)), count_include_pad=False)
    np.testing.assert_allclose(y[0, ..., 0], [[0.5, 2.0]])
    with_zeros = ops.avg_pool(x, 2, padding=((1, 0), (0, 1)))
    np.testing.assert_allclose(with_zeros[0, ..., 0], [[0.25, 0.5]])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_types_are_summed_in_float32(dtype):
    x = jnp.full((1, 64, 64, 1), 1.001, dtype)
    y = ops.avg_pool(x, 64)
    assert y.dtype == dtype
    assert y[0, 0, 0, 0] == x[0, 0, 0, 0]


def test_second_order_and_vmap():
    x = np.random.default_rng(2).standard_normal((3, 2, 5, 6, 2)).astype(np.float32)
    together = jax.vmap(lambda x: ops.avg_pool(x, 3, strides=2, padding=1))(x)
    np.testing.assert_array_equal(together, np.stack([ops.avg_pool(one, 3, strides=2, padding=1) for one in x]))

    def energy(x):
        return (ops.avg_pool(x, 3, strides=2, padding=1) ** 3).sum()

    direction = np.ones_like(x[0])
    second = jax.grad(lambda x: (jax.grad(energy)(x) * direction).sum())(x[0])
    step = 1e-2
    expected = (jax.grad(energy)(x[0] + step * direction) - jax.grad(energy)(x[0] - step * direction)) / (2 * step)
    np.testing.assert_allclose(second, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"window": 3, "padding": 2}, r"at most half of the window \(3, 3\), got \(\(2, 2\), \(2, 2\)\)"),
        ({"window": 9}, r"window of \(9, 9\) .* does not fit into an input of \(4, 5\)"),
        ({"window": 0}, "window must be an int or a pair of ints, each at least 1, got 0"),
    ],
)
def test_bad_geometry_is_named(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        ops.avg_pool(jnp.zeros((1, 4, 5, 1)), **arguments)
    with pytest.raises(ValueError, match=r"floating \(n, h, w, c\), got int32 of shape \(4, 5\)"):
        ops.avg_pool(jnp.zeros((4, 5), jnp.int32))
