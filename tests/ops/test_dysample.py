from functools import partial
from math import floor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from jax.typing import DTypeLike

from segjax.ops import dysample, resize
from segjax.ops.dysample import _by_gathers, _by_windows, _on_tpus


def arrays(h, w, factor, groups, dtype: DTypeLike = np.float32, spread=45):
    rng = np.random.default_rng(h * w)
    x = rng.standard_normal((2, h, w, 2 * groups))
    # Halves of 64ths: float32 has the same positions as the reference, and none on a pixel, where the slope jumps.
    offsets = (np.round(spread * rng.standard_normal((2, h, w, 2 * groups * factor**2))) + 0.5) / 64
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
    assert_equals_the_paper(dysample, factor, groups, arrays(h, w, factor, groups))


@pytest.mark.parametrize(("h", "w", "factor", "groups"), [(5, 6, 2, 3), (33, 1, 3, 1)])
def test_on_tpus_near_points_are_read_by_windows(h, w, factor, groups):
    near = arrays(h, w, factor, groups, spread=16)
    assert abs(near[1]).max() < 1.5
    assert_equals_the_paper(_by_windows, factor, groups, near)


def with_gradients(form, factor, groups):
    @jax.jit
    def run(x, offsets, gradient):
        y, pull = jax.vjp(partial(form, factor=factor, groups=groups), x, offsets)
        return y, *pull(gradient)

    return run


def test_on_tpus_one_far_point_is_enough_for_gathers():
    x, offsets, gradient = arrays(4, 5, 1, 1, spread=16)
    windows, chosen, gathers = (with_gradients(form, 1, 1) for form in (_by_windows, _on_tpus, _by_gathers))
    for at, far in ((0.5, False), (2, True), (-2.5, True), (np.inf, True), (np.nan, True)):
        offsets[1, 3, 1, 0] = at
        given = x, offsets, gradient
        for a, b, by_windows in zip(chosen(*given), gathers(*given), windows(*given), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
            if not far:
                np.testing.assert_array_equal(a, by_windows)


def assert_equals_the_paper(op, factor, groups, given):
    x, offsets, gradient = given
    references = by_loops(x, offsets, factor, groups=groups), *torch_gradients(x, offsets, gradient, factor, groups)
    for result, reference, tolerance in zip(
        with_gradients(op, factor, groups)(*given), references, (1e-6, 1e-5, 1e-5), strict=True
    ):
        np.testing.assert_allclose(result, reference, rtol=0, atol=tolerance * abs(reference).max())


def test_on_tpus_slopes_on_pixels_and_at_the_edge_of_the_windows_are_the_gathers():
    x, offsets, gradient = arrays(4, 9, 1, 1)
    offsets[:, :, :, 0] = np.array([0, 1, 1, 0, -2, -1, np.nextafter(np.float32(2), np.float32(0)), 0, 0])
    offsets[:, :, :, 1] = np.array([1, 0, -1, -2])[:, None]
    found, expected = (with_gradients(form, 1, 1)(x, offsets, gradient) for form in (_by_windows, _by_gathers))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_on_tpus_an_infinite_pixel_is_in_no_point_but_those_beside_it():
    x, offsets, gradient = arrays(9, 9, 2, 1, spread=8)
    x[:, 4, 4] = np.array([np.inf, np.nan])
    found, expected = (with_gradients(form, 2, 1)(x, offsets, gradient) for form in (_by_windows, _by_gathers))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    assert 0 < (~np.isfinite(found[0])).sum() < found[0].size / 8


def test_an_offset_that_is_not_a_number_makes_what_it_moves_none():
    x, offsets, _ = arrays(4, 4, 2, 1)
    offsets[0, 1, 2] = np.nan
    read = dysample(jnp.array(x), jnp.array(offsets), groups=1)
    assert np.argwhere(np.isnan(read[0, ..., 0])).tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_only_programs_for_tpus_have_windows():
    traced = jax.jit(dysample).trace(*arrays(3, 4, 2, 4)[:2])
    programs = {name: traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda", "tpu")}
    assert {name: "optimization_barrier" in program for name, program in programs.items()} == {
        "cpu": False,
        "cuda": False,
        "tpu": True,
    }


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_zero_offsets_are_bilinear_resizing(factor):
    x, offsets, _ = map(jnp.asarray, arrays(5, 7, factor, 4))
    y = jax.jit(partial(dysample, factor=factor))(x, 0 * offsets)
    np.testing.assert_allclose(y, resize(x, (5 * factor, 7 * factor)), rtol=0, atol=2e-6)


def test_gradients_by_finite_differences():
    op = jax.jit(partial(dysample, groups=1))
    with jax.enable_x64(True):
        x, offsets, _ = map(jnp.asarray, arrays(2, 3, 2, 1, np.float64))
        assert op(x, offsets).dtype == jnp.float64
        check_grads(op, (x, offsets), order=1, modes=["rev"], atol=1e-5, rtol=1e-5, eps=1e-6)


def test_on_tpus_gradients_of_first_and_second_order_by_finite_differences():
    def squares(x, offsets):
        return _on_tpus(x, offsets, 1, 1) ** 2  # of one phase: each of a finer grid is a copy of the program

    with jax.enable_x64(True):
        for spread in (16, 90):  # one program, by windows and by gathers
            x, offsets, _ = map(jnp.asarray, arrays(2, 3, 1, 1, np.float64, spread))
            check_derivatives(squares, x, offsets, tolerance=1e-5)


@pytest.mark.parametrize("op", [dysample, partial(_by_windows, factor=2, groups=4)])
def test_narrow_floats_are_summed_in_float32(op):
    x, offsets, gradient = (jnp.asarray(a, jnp.bfloat16) for a in arrays(3, 4, 2, 4, spread=16))
    y, pull = jax.vjp(jax.jit(op), x, offsets)
    assert [y.dtype, *(g.dtype for g in pull(gradient))] == [jnp.bfloat16] * 3
    exact = by_loops(np.asarray(x, np.float64), np.asarray(offsets, np.float64), 2, 4)
    np.testing.assert_allclose(np.asarray(y, np.float64), exact, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("op", [dysample, partial(_on_tpus, factor=2, groups=4)])
def test_under_vmap(op):
    x, offsets, _ = arrays(3, 4, 2, 4)
    y = jax.jit(jax.vmap(op))(x[:, None], offsets[:, None])
    np.testing.assert_allclose(y[:, 0], jax.jit(dysample)(x, offsets), rtol=0, atol=1e-6)


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
