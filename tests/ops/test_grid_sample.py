from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.typing import DTypeLike

from segjax.ops import grid_sample
from segjax.ops.grid_sample import _add_by_scatter, _add_by_sorting

VARIANTS = list(product(("bilinear", "nearest"), ("zeros", "border", "reflection"), (False, True)))


def noise(*shape, dtype: DTypeLike = np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def torch_sample(x, grid, variant):
    """On and from NHWC arrays."""
    method, padding_mode, align_corners = variant
    return torch.nn.functional.grid_sample(
        x.permute(0, 3, 1, 2), grid, method, padding_mode, align_corners=align_corners
    ).permute(0, 2, 3, 1)


def sampled(x, grid, method, padding_mode, align_corners=False):
    return grid_sample(x, grid, method, padding_mode=padding_mode, align_corners=align_corners)


def with_gradients(x, grid, gradient, variants):
    @jax.jit
    def run(x, grid, gradient):
        results = []
        for variant in variants:
            y, pull = jax.vjp(lambda x, grid, v=variant: sampled(x, grid, *v), x, grid)
            results.append((y, *pull(gradient)))
        return results

    return run(x, grid, gradient)


def assert_equals_torch(x, grid, variants, tolerances=(1e-6, 1e-5, 1e-5)):
    gradient = noise(*grid.shape[:3], x.shape[3], dtype=x.dtype)
    for variant, results in zip(variants, with_gradients(x, grid, gradient, variants), strict=True):
        tx, tgrid = torch.from_numpy(x).requires_grad_(), torch.from_numpy(grid).requires_grad_()
        ty = torch_sample(tx, tgrid, variant)
        references = (ty, *torch.autograd.grad(ty, (tx, tgrid), torch.from_numpy(gradient)))
        for result, reference, tolerance in zip(results, references, tolerances, strict=True):
            reference = reference.detach().numpy()
            atol = tolerance * abs(reference).max()
            np.testing.assert_allclose(result, reference, rtol=0, atol=atol, err_msg=str(variant))


SIZES = st.tuples(st.integers(1, 33), st.integers(1, 33))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(SIZES, SIZES, st.sampled_from(VARIANTS))
@example((1, 1), (4, 3), ("bilinear", "reflection", True))
@example((6, 5), (16, 2), ("bilinear", "border", False))  # 16 rows of points: one a block of the gradient
def test_equals_torch_forward_and_gradients(old, new, variant):
    # In steps of 1/32 the positions are exact, and halves and edges among them. Elsewhere the two round them apart.
    assert_equals_torch(noise(2, *old, 3), np.round(38 * noise(2, *new, 2)) / 32, [variant])


def test_equals_torch_anywhere_in_float64():
    with jax.enable_x64(True):
        x, grid = noise(2, 9, 7, 3, dtype=np.float64), 1.5 * noise(2, 11, 8, 2, dtype=np.float64)
        assert_equals_torch(x, grid, VARIANTS, (1e-13, 1e-13, 1e-13))


def test_equals_torch_on_pixels_edges_halves_and_far_outside():
    h, w = 4, 8  # powers of two, so that every position is exact
    across = [-40, -3, -1.125, -1, *np.linspace(-1, 1, 2 * w + 1), 1, 1.125, 3, 40]
    down = [-40, -3, -1.25, -1, *np.linspace(-1, 1, 2 * h + 1), 1, 1.25, 3, 40]
    grid = np.stack(np.meshgrid(across, down), -1)[None].astype(np.float32)
    assert_equals_torch(noise(1, h, w, 2), grid, [v for v in VARIANTS if not v[2]])
    # With the corners aligned these are the pixels and the halves between them.
    assert_equals_torch(noise(1, h + 1, w + 1, 2), grid, [v for v in VARIANTS if v[2]])


@pytest.mark.parametrize("variant", VARIANTS[::2])
def test_nan_reads_as_minus_one_and_infinity_lies_outside(variant):
    _, padding_mode, _ = variant
    x = noise(1, 3, 4, 2)
    sample = jax.jit(partial(grid_sample, method=variant[0], padding_mode=variant[1], align_corners=variant[2]))
    grid = jnp.array([[[[np.nan, 0.3], [0.3, np.nan], [np.inf, 0.3], [-np.inf, 0.3], [0.3, np.inf]]]])
    y, pull = jax.vjp(sample, x, grid)
    instead = {"zeros": [[9, 9], [-9, 0.3], [0.3, 9]], "border": [[1, 0.3], [-1, 0.3], [0.3, 1]]}
    instead = instead.get(padding_mode, [[-1, 0.3], [-1, 0.3], [0.3, -1]])
    assert np.array_equal(y, sample(x, jnp.array([[[[-1, 0.3], [0.3, -1], *instead]]], jnp.float32)))
    assert all(np.isfinite(gradient).all() for gradient in pull(jnp.ones_like(y)))


@pytest.mark.parametrize("padding_mode", ["border", "reflection"])
def test_infinity_reads_the_only_row_where_there_is_one(padding_mode):
    x = jnp.asarray(noise(1, 1, 4, 2))
    grid = jnp.array([[[[0.3, np.inf], [0.3, 5.0], [0.3, 0.0]]]])
    y = grid_sample(x, grid, padding_mode=padding_mode, align_corners=True)
    np.testing.assert_array_equal(y[0, 0], np.broadcast_to(y[0, 0, 2], (3, 2)))


def test_infinite_and_nan_pixels_are_in_no_point_outside():
    h, w = 4, 8
    x = noise(1, h, w, 2)
    x[0, 0, :, 0], x[0, :, w - 1, 1], x[0, h - 1, 3] = np.inf, -np.inf, np.nan
    across, down = np.linspace(-1.5, 1.5, 3 * w + 1), np.linspace(-1.5, 1.5, 3 * h + 1)
    grid = np.stack(np.meshgrid(across, down), -1)[None].astype(np.float32)
    for variant in VARIANTS:
        if variant[1] == "zeros":
            expected = torch_sample(torch.from_numpy(x), torch.from_numpy(grid), variant)
            np.testing.assert_allclose(sampled(x, grid, *variant), expected, atol=1e-5, err_msg=str(variant))


def test_gradients_of_first_and_second_order_by_finite_differences():
    def squares(x, grid):
        return grid_sample(x, grid) ** 2, sampled(x, grid, "bilinear", "reflection", True) ** 2

    with jax.enable_x64(True):
        x = jnp.asarray(noise(1, 3, 4, 2, dtype=np.float64))
        grid = jnp.asarray(np.random.default_rng(5).uniform(-1.3, 1.3, (1, 4, 3, 2)))
        assert squares(x, grid)[0].dtype == jnp.float64
        check_derivatives(squares, x, grid, tolerance=1e-5)


@pytest.mark.parametrize("add", [_add_by_sorting, _add_by_scatter])
def test_rows_that_name_one_place_add_up(add):
    rng = np.random.default_rng(0)
    table, rows = noise(13, 3), noise(200, 3)
    add = jax.jit(add)
    for most in (1, 9, 13):  # one place for all, some without any, all
        index = rng.integers(0, most, 200).astype(np.int32)
        reference = table.astype(np.float64)
        np.add.at(reference, index, rows)
        np.testing.assert_allclose(add(table, rows, index), reference, rtol=0, atol=1e-5)


def test_gradients_scatter_on_a_cpu_alone():
    """On a GPU a scatter adds in any order, and two runs would differ."""
    arrays = (jax.ShapeDtypeStruct((2, 5, 4, 3), jnp.float32), jax.ShapeDtypeStruct((2, 8, 6, 2), jnp.float32))
    traced = jax.jit(jax.grad(lambda x, grid: grid_sample(x, grid).sum(), argnums=(0, 1))).trace(*arrays)
    texts = [traced.lower(lowering_platforms=(platform,)).as_text() for platform in ("cpu", "cuda", "rocm")]
    assert ["stablehlo.scatter" in text for text in texts] == [True, False, False]


def test_mixed_and_narrow_dtypes():
    x, grid = noise(2, 5, 7, 3), np.clip(noise(2, 4, 6, 2), -1, 1)
    narrow = jnp.asarray(x, jnp.bfloat16)
    y, pull = jax.vjp(jax.jit(grid_sample), narrow, grid)
    exact = grid_sample(narrow.astype(jnp.float32), jnp.asarray(grid))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-6)
    assert [gradient.dtype for gradient in pull(y)] == [jnp.bfloat16, jnp.float32]
    with jax.enable_x64(True):
        y, pull = jax.vjp(jax.jit(grid_sample), jnp.asarray(x), jnp.asarray(grid, jnp.float64))
        assert [y.dtype, *(gradient.dtype for gradient in pull(y))] == [jnp.float32, jnp.float32, jnp.float64]


def test_under_vmap():
    x, grid = noise(3, 2, 5, 4, 2), noise(3, 2, 4, 6, 2)
    one = jax.jit(grid_sample)
    y = jax.jit(jax.vmap(grid_sample))(x, grid)
    np.testing.assert_allclose(y, np.stack([one(*each) for each in zip(x, grid, strict=True)]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "grid", "names", "says"),
    [
        ((4, 4, 3), (1, 2, 2, 2), ("bilinear", "zeros"), r"\(4, 4, 3\)"),
        ((1, 0, 4, 3), (1, 2, 2, 2), ("bilinear", "zeros"), r"\(1, 0, 4, 3\)"),
        ((1, 4, 4, 3), (2, 2, 2, 2), ("bilinear", "zeros"), r"\(2, 2, 2, 2\)"),
        ((1, 4, 4, 3), (1, 2, 2, 3), ("bilinear", "zeros"), r"\(1, 2, 2, 3\)"),
        ((1, 4, 4, 3), (1, 2, 2, 2), ("bicubic", "zeros"), "'bicubic'"),
        ((1, 4, 4, 3), (1, 2, 2, 2), ("bilinear", "reflect"), "'reflect'"),
    ],
)
def test_bad_geometry_is_named(x, grid, names, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(
            lambda x, grid: sampled(x, grid, *names),
            jax.ShapeDtypeStruct(x, jnp.float32),
            jax.ShapeDtypeStruct(grid, jnp.float32),
        )


def test_integers_are_refused():
    with pytest.raises(ValueError, match="int32"):
        grid_sample(jnp.zeros((1, 4, 4, 3), jnp.int32), jnp.zeros((1, 2, 2, 2)))


def test_no_points_have_a_gradient():
    x, grid = jnp.ones((1, 4, 4, 2)), jnp.zeros((1, 0, 3, 2))
    to_x, to_grid = jax.grad(lambda *given: grid_sample(*given).sum(), (0, 1))(x, grid)
    assert not to_x.any()
    assert to_grid.shape == grid.shape
