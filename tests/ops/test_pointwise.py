"""Convolutions of one pixel beside torch's in float64."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from segjax.layers.dense import Dense
from segjax.ops import conv


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize(("channels", "features"), [(3, 8), (8, 3), (1, 1)])
def test_equals_torch(channels: int, features: int, stride: Any, dtype: Any):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 5, channels)).astype(dtype)
    kernel = rng.standard_normal((1, 1, channels, features)).astype(dtype)
    image = torch.from_numpy(x.astype(np.float64).transpose(0, 3, 1, 2)).requires_grad_()
    weight = torch.from_numpy(kernel.astype(np.float64).transpose(3, 2, 0, 1)).requires_grad_()
    expected = torch.nn.functional.conv2d(image, weight, None, stride)
    upstream = rng.standard_normal(expected.permute(0, 2, 3, 1).shape).astype(dtype)
    back = torch.from_numpy(upstream.astype(np.float64).transpose(0, 3, 1, 2))
    dx, dkernel = torch.autograd.grad(expected, (image, weight), back)

    def run(x: Any, kernel: Any, upstream: Any) -> Any:
        y, pull = jax.vjp(lambda x, kernel: conv(x, kernel, "VALID", stride=stride), x, kernel)
        return y, *pull(upstream)

    values = [expected.detach().permute(0, 2, 3, 1), dx.permute(0, 2, 3, 1), dkernel.permute(2, 3, 1, 0)]
    for found, value in zip(jax.jit(run)(x, kernel, upstream), values, strict=True):
        assert found.dtype == dtype
        wanted = value.numpy()
        error = 1e-6 if dtype == np.float32 else 1e-2
        np.testing.assert_allclose(found.astype(np.float64), wanted, rtol=0, atol=error * np.abs(wanted).max())


def test_a_program_for_a_cpu_has_no_convolution_and_one_for_a_gpu_no_product():
    def run(x: Any, kernel: Any) -> Any:
        return jax.grad(lambda x, kernel: conv(x, kernel, stride=2).sum() + conv(x, kernel).sum(), (0, 1))(x, kernel)

    traced = jax.jit(run).trace(jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 1, 2, 3)))
    on_cpu, on_gpu = (traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "cuda"))
    assert "dot_general" in on_cpu
    assert "convolution" not in on_cpu
    assert "convolution" in on_gpu
    assert "dot_general" not in on_gpu


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 3), (2, 4, 5, 3), (0, 4, 3)])
def test_a_linear_layer_is_flaxs(shape: Any, dtype: Any):
    rng = np.random.default_rng(0)
    x, upstream = (jnp.asarray(rng.standard_normal((*shape[:-1], width)), dtype) for width in (3, 6))

    def both(make: Any) -> Any:
        layer = make(6, dtype=dtype)
        variables = layer.init(jax.random.key(0), x)
        y, pull = jax.jit(lambda variables, x: jax.vjp(layer.apply, variables, x))(variables, x)
        return y, *jax.tree.leaves(pull(upstream))

    for found, expected in zip(both(Dense), both(nn.Dense), strict=True):
        assert found.dtype == expected.dtype
        error = 1e-6 if dtype == jnp.float32 else 2e-2
        np.testing.assert_allclose(found.astype(np.float32), expected.astype(np.float32), rtol=error, atol=4 * error)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 5, 3)])
def test_the_gradient_of_a_kernel_is_a_product_of_matrices_on_a_cpu(shape: Any):
    def total(kernel: Any, x: Any) -> Any:
        y: Any = Dense(4).apply({"params": {"kernel": kernel, "bias": jnp.zeros(4)}}, x)
        return y.sum()

    traced = jax.jit(jax.grad(total)).trace(jnp.zeros((3, 4)), jnp.zeros(shape))
    on_cpu, on_gpu = (traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "cuda"))
    assert "contracting_dims = [0] x [0]" in on_cpu
    assert "contracting_dims = [0] x [0]" not in on_gpu
