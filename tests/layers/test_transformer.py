from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch.nn import functional as F

from segjax.layers.transformer import LayerScale, attend, gelu, layer_norm

RANDOM = np.random.default_rng(0)


def test_attention_is_torchs_head_by_head():
    q, k, v = (RANDOM.standard_normal((2, length, 12)) for length in (5, 7, 7))
    by_head = [torch.from_numpy(each).unflatten(-1, (3, 4)).transpose(1, 2) for each in (q, k, v)]
    expected = F.scaled_dot_product_attention(by_head[0], by_head[1], by_head[2]).transpose(1, 2).flatten(2)
    with jax.enable_x64(True):
        y = attend(jnp.asarray(q), jnp.asarray(k), jnp.asarray(v), 3)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-14)


def test_the_softmax_of_sixteen_bits_is_single_precision():
    q = jnp.array([[[2, 2, 0, 0]]], jnp.bfloat16)
    k = jnp.array([[[256, 0, 0, 0], [256, 1, 0, 0]]], jnp.bfloat16)
    v = jnp.array([[[0, 0, 0, 0], [1, 1, 1, 1]]], jnp.bfloat16)
    y = attend(q, k, v, 1)
    assert y.dtype == jnp.bfloat16
    # The logits are 256 and 257, which bfloat16 cannot tell apart.
    np.testing.assert_allclose(np.asarray(y, np.float32), 1 / (1 + np.exp(-1)), rtol=1e-2)


def test_gelu_is_by_the_error_function():
    x = np.linspace(-4, 4, 101)
    theirs = torch.from_numpy(x).requires_grad_()
    (slope,) = torch.autograd.grad(F.gelu(theirs).sum(), theirs, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), theirs)
    with jax.enable_x64(True):
        found = gelu(jnp.array(x)), jax.vmap(jax.grad(gelu))(x), jax.vmap(jax.hessian(gelu))(x)
        for ours, expected in zip(found, (F.gelu(theirs), slope, curvature), strict=True):
            np.testing.assert_allclose(ours, expected.detach(), rtol=0, atol=1e-15)
    for dtype in (jnp.float32, jnp.bfloat16):  # the same bits as jax's
        np.testing.assert_array_equal(gelu(jnp.array(x, dtype)), jax.nn.gelu(jnp.array(x, dtype), approximate=False))


def test_layer_normalisation_bears_a_large_mean():
    x = (RANDOM.standard_normal((3, 64)) + 1e4).astype(np.float32)
    y: Any = layer_norm().apply({"params": {"scale": np.ones(64), "bias": np.zeros(64)}}, x)
    expected = F.layer_norm(torch.from_numpy(x).double(), (64,), eps=1e-6)
    np.testing.assert_allclose(np.asarray(y), expected, rtol=0, atol=2e-3)


def test_a_layer_scale_starts_as_it_is_told():
    y, variables = LayerScale(0.5).init_with_output(jax.random.key(0), jnp.ones((2, 3)))
    np.testing.assert_array_equal(np.asarray(y), 0.5)
    np.testing.assert_array_equal(variables["params"]["gamma"], np.full(3, 0.5, np.float32))
