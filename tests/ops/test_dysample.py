from functools import partial
from math import floor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from jax.typing import DTypeLike
from once import jit

from segjax.ops import dysample, resize


def arrays(h, w, factor, groups, dtype: DTypeLike = np.float32):
    rng = np.random.default_rng(h * w)
    x = rng.standard_normal((2, h, w, 2 * groups))
    # Halves of 64ths: float32 has the same positions as the reference, and none on a pixel, where the slope jumps.
    offsets = (np.round(45 * rng.standard_normal((2, h, w, 2 * groups * factor**2))) + 0.5) / 64
    gradient = rng.standard_normal((2, h * factor, w * factor, 2 * groups))
    return x.astype(dtype), offsets.astype(dtype), gradient.astype(dtype)


def positions(offsets, h, w, factor, groups):
    """Row and column, in pixels, that each output pixel of each group reads: a regular grid and the offsets on it."""
    n = offsets.shape[0]
    rows, columns = np.zeros((2, n, groups, h * factor, w * factor))
    for group in range(groups):
        for row in range(h * factor):
            for column in range(w * factor):
                i, u = divmod(row, factor)
                j, v = divmod(column, factor)
                across = (group * factor + u) * factor + v
                down = across + groups * factor**2
                rows[:, group, row, column] = (row + 0.5) / factor - 0.5 + offsets[:, i, j, down]
                columns[:, group, row, column] = (column + 0.5) / factor - 0.5 + offsets[:, i, j, across]
    return rows, columns


def by_loops(x, offsets, factor, groups):
    """The paper's sampling, bilinear with the border repeated, one point at a time."""
    n, h, w, c = x.shape
    y = np.zeros((n, h * factor, w * factor, c))
    rows, columns = positions(offsets.astype(np.float64), h, w, factor, groups)
    for image, group, row, column in np.ndindex(rows.shape):
        at = min(max(rows[image, group, row, column], 0), h - 1)
        to = min(max(columns[image, group, row, column], 0), w - 1)
        i, j = floor(at), floor(to)
        block = slice(group * c // groups, (group + 1) * c // groups)
        for k, down in ((i, 1 - at + i), (min(i + 1, h - 1), at - i)):
            for m, right in ((j, 1 - to + j), (min(j + 1, w - 1), to - j)):
                y[image, row, column, block] += down * right * x[image, k, m, block]
    return y


def torch_gradients(x, offsets, gradient, factor, groups):
    """Of the same points read by torch's grid_sample, a group at a time, in float64."""
    n, h, w, c = x.shape
    x, moves, gradient = (torch.from_numpy(a.astype(np.float64)).requires_grad_() for a in (x, offsets, gradient))
    start = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
    parts = moves.reshape(n, h, w, 2, groups, factor, factor)
    across = parts[:, :, :, 0] + torch.arange(w)[None, None, :, None, None, None] + start
    down = parts[:, :, :, 1] + torch.arange(h)[None, :, None, None, None, None] + start[:, None]
    blocks = []
    for group in range(groups):
        points = [(2 * a[:, :, :, group] + 1) / size - 1 for a, size in ((across, w), (down, h))]
        grid = torch.stack([p.permute(0, 1, 3, 2, 4).reshape(n, h * factor, w * factor) for p in points], -1)
        block = x[..., group * c // groups : (group + 1) * c // groups].permute(0, 3, 1, 2)
        read = torch.nn.functional.grid_sample(block, grid, "bilinear", "border", align_corners=False)
        blocks.append(read.permute(0, 2, 3, 1))
    return [g.numpy() for g in torch.autograd.grad(torch.cat(blocks, -1), (x, moves), gradient)]


@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4))
@example(1, 1, 2, 1)
@example(6, 5, 2, 4)
@example(33, 1, 2, 1)
def test_equals_the_paper_forward_and_gradients(h, w, factor, groups):
    x, offsets, gradient = arrays(h, w, factor, groups)

    @jit
    def run(x, offsets, gradient):
        y, pull = jax.vjp(lambda x, offsets: dysample(x, offsets, factor, groups=groups), x, offsets)
        return y, *pull(gradient)

    references = by_loops(x, offsets, factor, groups=groups), *torch_gradients(x, offsets, gradient, factor, groups)
    for result, reference, tolerance in zip(run(x, offsets, gradient), references, (1e-6, 1e-5, 1e-5), strict=True):
        np.testing.assert_allclose(result, reference, rtol=0, atol=tolerance * abs(reference).max())


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_zero_offsets_are_bilinear_resizing(factor):
    x, offsets, _ = map(jnp.asarray, arrays(5, 7, factor, 4))
    y = jit(partial(dysample, factor=factor))(x, 0 * offsets)
    np.testing.assert_allclose(y, resize(x, (5 * factor, 7 * factor)), rtol=0, atol=2e-6)


def test_gradients_by_finite_differences():
    op = jax.jit(partial(dysample, groups=1))
    with jax.enable_x64(True):
        x, offsets, _ = map(jnp.asarray, arrays(2, 3, 2, 1, np.float64))
        assert op(x, offsets).dtype == jnp.float64
        check_grads(op, (x, offsets), order=1, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-6)


def test_narrow_floats_are_summed_in_float32():
    x, offsets, gradient = (jnp.asarray(a, jnp.bfloat16) for a in arrays(3, 4, 2, 4))
    y, pull = jax.vjp(jax.jit(dysample), x, offsets)
    assert [y.dtype, *(g.dtype for g in pull(gradient))] == [jnp.bfloat16] * 3
    exact = by_loops(np.asarray(x, np.float64), np.asarray(offsets, np.float64), 2, 4)
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=2**-8, atol=1e-6)


def test_under_vmap():
    x, offsets, _ = arrays(3, 4, 2, 4)
    y = jit(jax.vmap(dysample))(x[:, None], offsets[:, None])
    np.testing.assert_allclose(y[:, 0], jit(dysample)(x, offsets), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "offsets", "factor", "groups", "says"),
    [
        ((4, 4, 8), (1, 4, 4, 32), 2, 4, r"\(4, 4, 8\)"),
        ((1, 4, 4, 6), (1, 4, 4, 32), 2, 4, r"\(1, 4, 4, 6\)"),
        ((1, 0, 4, 8), (1, 0, 4, 32), 2, 4, r"\(1, 0, 4, 8\)"),
        ((1, 4, 4, 8), (1, 4, 4, 31), 2, 4, r"\(1, 4, 4, 31\)"),
        ((1, 4, 4, 8), (1, 8, 8, 32), 2, 4, r"\(1, 8, 8, 32\)"),
        ((1, 4, 4, 8), (1, 4, 4, 0), 0, 4, "by 0"),
    ],
)
def test_bad_geometry_is_named(x, offsets, factor, groups, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(
            lambda x, offsets: dysample(x, offsets, factor, groups=groups),
            jax.ShapeDtypeStruct(x, jnp.float32),
            jax.ShapeDtypeStruct(offsets, jnp.float32),
        )
