from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax.typing import DTypeLike

from segjax.ops import resize
from segjax.ops.taps import ResizeMethod, taps_of

METHODS: list[tuple[ResizeMethod, bool]] = [
    ("nearest", False),
    ("nearest-exact", False),
    ("bilinear", False),
    ("bilinear", True),
    ("bicubic", False),
    ("bicubic", True),
    ("area", False),
]


def noise(*shape, dtype: DTypeLike = np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def torch_resize(x, size, method, align_corners):
    """On and from NHWC arrays."""
    corners = {"align_corners": align_corners} if method in ("bilinear", "bicubic") else {}
    return torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), size=size, mode=method, **corners).permute(0, 2, 3, 1)


SIZES = st.tuples(st.integers(1, 33), st.integers(1, 33))


def assert_equals_torch(old, new):
    x, gradient = noise(2, *old, 3), noise(2, *new, 3)

    @jax.jit
    def run(x, gradient):
        results = []
        for method, align_corners in METHODS:
            y, pull = jax.vjp(partial(resize, size=new, method=method, align_corners=align_corners), x)
            results.append((y, *pull(gradient)))
        return results

    for (method, align_corners), (y, dx) in zip(METHODS, run(x, gradient), strict=True):
        tx = torch.from_numpy(x).requires_grad_()
        ty = torch_resize(tx, new, method, align_corners)
        (tdx,) = torch.autograd.grad(ty, tx, torch.from_numpy(gradient))
        ty, tdx = ty.detach().numpy(), tdx.numpy()
        np.testing.assert_allclose(y, ty, rtol=0, atol=1e-6 * abs(ty).max(), err_msg=f"{method} {align_corners}")
        np.testing.assert_allclose(dx, tdx, rtol=0, atol=1e-5 * abs(tdx).max(), err_msg=f"{method} {align_corners}")


@settings(max_examples=5, deadline=None, derandomize=True)
@given(SIZES, SIZES)
@example((5, 7), (10, 14))  # twice
@example((3, 4), (3, 12))  # one axis as it is
@example((1, 1), (33, 2))
@example((33, 31), (1, 5))
def test_equals_torch_forward_and_gradient(old, new):
    assert_equals_torch(old, new)


@pytest.mark.usefixtures("as_on_tpus")
@pytest.mark.parametrize(("old", "new"), [((5, 7), (10, 21)), ((12, 8), (3, 8)), ((4, 6), (9, 3)), ((1, 3), (4, 12))])
def test_by_phases_it_equals_torch(old, new):
    assert_equals_torch(old, new)


@pytest.mark.parametrize(("method", "align_corners"), METHODS)
def test_reads_where_torch_reads_at_every_size(method, align_corners):
    """The whole map from 1..64 to 1..64 positions, which torch tells when asked for unit vectors."""
    exact = method.startswith("nearest")
    for size in range(1, 65, 1 if exact else 3):
        basis = torch.eye(size)[:, :, None, None]
        for out in range(1, 65, 1 if exact else 5):
            taps = taps_of(size, out, method, align_corners, np.dtype(np.float32))
            matrix = np.zeros((size, out))
            np.add.at(matrix, (taps.index, np.arange(out)), taps.weight)
            reference = torch_resize(basis, (out, 1), method, align_corners)[:, :, 0, 0]
            np.testing.assert_allclose(matrix, reference, rtol=0, atol=0 if exact else 1e-6, err_msg=f"{size} to {out}")


def test_gradients_of_first_and_second_order_by_finite_differences():
    def squares(x):  # or the second order would be zero
        return [
            resize(x, size, method, align_corners=corners) ** 2
            for method, corners in METHODS
            for size in ((7, 5), (2, 6))
        ]

    with jax.enable_x64(True):
        x = jnp.asarray(noise(1, 3, 8, 1, dtype=np.float64))
        assert all(y.dtype == jnp.float64 for y in squares(x))
        check_derivatives(squares, x)


@pytest.mark.parametrize(("method", "align_corners"), METHODS)
@pytest.mark.parametrize("size", [(10, 8), (13, 3)])
def test_no_order_of_gradient_scatters(method, align_corners, size):
    def loss(x):
        return (resize(x, size, method, align_corners=align_corners) ** 3).sum()

    def second(x):
        return (jax.grad(loss)(x) ** 2).sum()

    assert "scatter" not in jax.jit(jax.grad(second)).lower(jnp.ones((1, 5, 4, 2))).as_text()


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_floats_are_summed_in_float32(dtype):
    x = jnp.asarray(noise(2, 5, 7, 3), dtype)
    for method, align_corners in METHODS:
        y = resize(x, (9, 6), method, align_corners=align_corners)
        assert y.dtype == dtype
        exact = torch_resize(torch.from_numpy(np.asarray(x, np.float32)), (9, 6), method, align_corners)
        np.testing.assert_allclose(np.asarray(y, np.float32), exact, rtol=float(jnp.finfo(dtype).eps) / 2, atol=1e-6)


@pytest.mark.parametrize("method", ["nearest", "nearest-exact"])
@pytest.mark.parametrize("size", [(8, 9), (5, 7)])
def test_nearest_keeps_labels(method, size):
    labels = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 1), np.uint8)
    for x in (labels, labels.astype(np.int32) - 128, labels > 100):
        y = resize(jnp.asarray(x), size, method)
        assert y.dtype == x.dtype
        assert np.array_equal(y, torch_resize(torch.from_numpy(x.astype(np.float32)), size, method, False).numpy())


def test_under_vmap_and_one_int_for_both_axes():
    x = noise(3, 2, 4, 4, 2)
    y = jax.vmap(lambda x: resize(x, 6, "bicubic"))(x)
    assert np.array_equal(y, np.stack([resize(image, (6, 6), "bicubic") for image in x]))


@pytest.mark.parametrize(("method", "align_corners"), METHODS)
def test_nan_and_infinity_reach_what_they_reach_in_torch(method, align_corners):
    x = noise(1, 5, 6, 1)
    x[0, 1, 2], x[0, 4, 5] = np.nan, np.inf
    y, pull = jax.vjp(lambda x: resize(x, (9, 8), method, align_corners=align_corners), jnp.asarray(x))
    tx = torch.from_numpy(x).requires_grad_()
    ty = torch_resize(tx, (9, 8), method, align_corners)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=0, atol=1e-5)

    gradient = noise(1, 9, 8, 1)
    gradient[0, 3, 5] = np.nan
    (tdx,) = torch.autograd.grad(ty, tx, torch.from_numpy(gradient))
    np.testing.assert_allclose(pull(gradient)[0], tdx.numpy(), rtol=0, atol=1e-5)


def test_nan_in_a_gradient_reaches_only_the_pixel_read():
    _, pull = jax.vjp(lambda x: resize(x, (4, 1), "nearest"), jnp.zeros((1, 9, 1, 1)))
    (dx,) = pull(jnp.ones((1, 4, 1, 1)).at[0, 0].set(jnp.nan))
    np.testing.assert_array_equal(dx.ravel(), [np.nan, 0, 1, 0, 1, 0, 1, 0, 0])


def test_an_axis_of_the_same_size_is_left_alone():
    x = jnp.asarray(noise(2, 5, 6, 3)).at[0, 1, 2, 0].set(jnp.inf)
    for method, align_corners in METHODS:
        assert np.array_equal(resize(x, (5, 6), method, align_corners=align_corners), x)
        assert jnp.isinf(resize(x, (9, 6), method, align_corners=align_corners)).any()


@pytest.mark.parametrize(
    ("shape", "size", "method", "align_corners", "says"),
    [
        ((4, 4, 3), 8, "bilinear", False, r"\(4, 4, 3\)"),
        ((1, 0, 4, 3), 8, "bilinear", False, r"\(1, 0, 4, 3\)"),
        ((1, 4, 4, 3), (8, 0), "bilinear", False, "size"),
        ((1, 4, 4, 3), (8, 8, 8), "bilinear", False, "size"),
        ((1, 4, 4, 3), 8, "cubic", False, "'cubic'"),
        ((1, 4, 4, 3), 8, "nearest", True, "align_corners"),
        ((1, 4, 4, 3), 8, "area", True, "align_corners"),
    ],
)
def test_bad_geometry_is_named(shape, size, method, align_corners, says):
    with pytest.raises(ValueError, match=says):
        jax.eval_shape(
            lambda x: resize(x, size, method, align_corners=align_corners), jax.ShapeDtypeStruct(shape, jnp.float32)
        )


def test_integers_are_not_averaged():
    with pytest.raises(ValueError, match="uint8"):
        resize(jnp.zeros((1, 4, 4, 3), jnp.uint8), 8)
