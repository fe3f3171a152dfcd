import functools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from derivatives import check_derivatives
from torch.nn import functional

from segjax import ops


def nchw(x):
    return torch.from_numpy(np.asarray(x).transpose(0, 3, 1, 2).copy())


def nhwc(x):
    return jnp.asarray(x.detach().numpy().transpose(0, 2, 3, 1))


def images(rng, h, w, c=3):
    """Four images: plain, with ties, mostly -inf, with NaN."""
    x = rng.standard_normal((4, h, w, c)).astype(np.float32)
    x[1] = rng.integers(0, 3, (h, w, c))
    x[2][rng.random((h, w, c)) < 0.8] = -np.inf
    x[3][rng.random((h, w, c)) < 0.3] = np.nan
    return x


def loops(x, window, strides, padding, dilation, ceil_mode):
    """Maxima and their positions, cell by cell; windows are placed until one no longer fits."""
    n, h, w, c = x.shape
    starts = []
    for size, k, s, (low, high), d in zip((h, w), window, strides, padding, dilation, strict=True):
        reach = (k - 1) * d
        fits = [i for i in range(-low, size + high) if (i + low) % s == 0 and i + reach < size + high]
        if ceil_mode and (len(fits) - 1) * s - low + reach < size + high - 1 and len(fits) * s - low < size:
            fits.append(len(fits) * s - low)
        starts.append(fits)
    values = np.full((n, len(starts[0]), len(starts[1]), c), -np.inf)
    flat = np.full(values.shape, -1)
    for b, i, j, k in np.ndindex(values.shape):
        for a in range(window[0]):
            for e in range(window[1]):
                row, column = starts[0][i] + a * dilation[0], starts[1][j] + e * dilation[1]
                if 0 <= row < h and 0 <= column < w:
                    value = x[b, row, column, k]
                    if flat[b, i, j, k] < 0 or value > values[b, i, j, k] or np.isnan(value):
                        values[b, i, j, k], flat[b, i, j, k] = value, row * w + column
    return values, flat


@functools.partial(jax.jit, static_argnames=("window", "strides", "padding", "dilation", "ceil_mode"))
def everything(x, g, v, gradient_of_plane, window, strides, padding, dilation, ceil_mode):
    """Pooling x and its gradient for g, unpooling v and its gradient: one compilation a geometry."""
    values, pull, indices = jax.vjp(
        lambda x: ops.max_pool_with_argmax(
            x, window, strides=strides, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        ),
        x,
        has_aux=True,
    )
    plane, pull_plane = jax.vjp(lambda v: ops.max_unpool(v, indices), v)
    flat = indices.flat()
    back = ops.PoolIndices.from_flat(flat, x.shape[1:3], window, strides=strides, padding=padding, dilation=dilation)
    same = jnp.all(back.offsets == indices.offsets)
    return values, flat, pull(g)[0], plane, pull_plane(gradient_of_plane)[0], same


def normal(seed, shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def assert_equals_torch(x, window, strides, padding, dilation, ceil_mode):
    image = nchw(x).requires_grad_()
    values, indices = functional.max_pool2d(image, window, strides, padding, dilation, ceil_mode, return_indices=True)
    shape = nhwc(values).shape
    g, v, gradient_of_plane = normal(1, shape), normal(2, shape), normal(3, x.shape)
    values.backward(nchw(g))
    unpooled = nchw(v).requires_grad_()
    # Without the wrapper's check of output_size, which knows nothing of dilation or ceil_mode.
    plane = torch.ops.aten.max_unpool2d(unpooled, indices, x.shape[1:3])
    plane.backward(nchw(gradient_of_plane))

    both_sides = tuple((p, p) for p in padding)
    ours = everything(x, g, v, gradient_of_plane, window, strides, both_sides, dilation, ceil_mode)
    np.testing.assert_array_equal(ours[0], nhwc(values))
    np.testing.assert_array_equal(ours[1], nhwc(indices))
    np.testing.assert_allclose(ours[2], nhwc(image.grad), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours[3], nhwc(plane))
    np.testing.assert_array_equal(ours[4], nhwc(unpooled.grad))
    assert ours[5]


GEOMETRIES = [
    # size, window, strides, padding, dilation, ceil_mode
    ((12, 10), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((13, 11), (2, 2), (2, 2), (0, 0), (1, 1), True),
    ((13, 11), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((1, 1), (2, 2), (2, 2), (0, 0), (1, 1), True),
    ((11, 14), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((9, 8), (3, 3), (1, 1), (1, 1), (1, 1), False),
    ((11, 13), (2, 3), (1, 2), (1, 0), (2, 1), True),
    ((12, 9), (2, 2), (3, 4), (0, 1), (1, 1), True),
    ((10, 11), (3, 2), (2, 1), (1, 1), (3, 2), False),
    ((12, 13), (5, 4), (2, 3), (2, 2), (1, 1), True),  # more cells than are read in place
    ((10, 9), (9, 9), (1, 1), (4, 4), (1, 1), False),  # reduce_window, and more windows a cell than are compared
    ((33, 20), (11, 10), (11, 10), (0, 0), (1, 1), False),  # reduce_window, no overlap
    ((17, 5), (16, 1), (1, 1), (8, 0), (1, 1), True),
]


@pytest.mark.parametrize(("size", "window", "strides", "padding", "dilation", "ceil_mode"), GEOMETRIES)
def test_equals_torch(size, window, strides, padding, dilation, ceil_mode):
    x = images(np.random.default_rng(sum(size)), *size)
    assert_equals_torch(x, window, strides, padding, dilation, ceil_mode)


@pytest.mark.usefixtures("as_on_tpus")
def test_by_phases_it_equals_torch():
    for size, *rest in GEOMETRIES[1:10]:
        assert_equals_torch(images(np.random.default_rng(sum(size)), *size), *rest)


@st.composite
def geometries(draw):
    axes = []
    for _ in range(2):
        window = draw(st.integers(1, 4))
        stride = draw(st.integers(1, 4))
        padding = draw(st.integers(0, window // 2))
        dilation = draw(st.integers(1, 2))
        size = draw(st.integers(max(1, (window - 1) * dilation + 1 - padding), 33))
        axes.append((size, window, stride, padding, dilation))
    return (*zip(*axes, strict=True), draw(st.booleans()))


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(geometries(), st.integers(0, 2**32 - 1))
def test_equals_torch_on_any_geometry(geometry, seed):
    size, *rest = geometry
    assert_equals_torch(images(np.random.default_rng(seed), *size, c=2), *rest)


@pytest.mark.parametrize(
    ("size", "window", "strides", "padding", "dilation", "ceil_mode"),
    [
        ((6, 7), (3, 2), (2, 2), ((1, 0), (0, 1)), (1, 1), False),
        ((7, 5), (4, 3), (3, 1), ((0, 2), (1, 0)), (1, 2), True),
        ((5, 5), (2, 2), (2, 2), ((1, 0), (0, 1)), (1, 1), True),
        ((7, 9), (6, 3), (1, 2), ((3, 1), (0, 1)), (1, 1), False),
    ],
)
def test_asymmetric_padding_equals_loops(size, window, strides, padding, dilation, ceil_mode):
    x = images(np.random.default_rng(0), *size, c=2)
    expected_values, expected_flat = loops(x, window, strides, padding, dilation, ceil_mode)
    shape = expected_flat.shape
    g, v, gradient_of_plane = normal(1, shape), normal(2, shape), normal(3, x.shape)
    expected_dx, expected_plane = np.zeros((4, math.prod(size), 2)), np.zeros((4, math.prod(size), 2))
    expected_dv = np.zeros(shape)
    for b, i, j, k in np.ndindex(shape):
        place = expected_flat[b, i, j, k]
        expected_dx[b, place, k] += g[b, i, j, k]
        expected_plane[b, place, k] = v[b, i, j, k]
        expected_dv[b, i, j, k] = gradient_of_plane[b, place // size[1], place % size[1], k]

    values, flat, dx, plane, dv, same = everything(
        x, g, v, gradient_of_plane, window, strides, padding, dilation, ceil_mode
    )
    np.testing.assert_array_equal(values, expected_values)
    np.testing.assert_array_equal(flat, expected_flat)
    np.testing.assert_allclose(dx, expected_dx.reshape(x.shape), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plane, expected_plane.reshape(x.shape))
    np.testing.assert_array_equal(dv, expected_dv)
    assert same


def test_an_int_is_a_pair_and_strides_are_the_window():
    x = normal(0, (1, 9, 9, 2))
    values, indices = ops.max_pool_with_argmax(x, 3, padding=1)
    same, same_indices = ops.max_pool_with_argmax(x, (3, 3), strides=(3, 3), padding=((1, 1), (1, 1)), dilation=(1, 1))
    np.testing.assert_array_equal(values, same)
    np.testing.assert_array_equal(indices.offsets, same_indices.offsets)
    assert indices.geometry == same_indices.geometry
    assert indices.offsets.dtype == jnp.uint8
    assert indices.flat().dtype == jnp.int32


def test_the_last_of_the_windows_that_name_one_place_wins():
    x = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1)
    values, indices = ops.max_pool_with_argmax(x, window=2, strides=1)
    assert indices.flat().ravel().tolist() == [4, 4, 4, 4]
    v = jnp.arange(1.0, 5).reshape(values.shape)
    np.testing.assert_array_equal(ops.max_unpool(v, indices).ravel(), [0, 0, 0, 0, 4, 0, 0, 0, 0])
    gradient = jax.grad(lambda v: 7 * ops.max_unpool(v, indices).sum())(v)
    np.testing.assert_array_equal(gradient.ravel(), [7, 7, 7, 7])


@pytest.mark.parametrize(("window", "strides", "padding"), [(2, 2, 0), (3, 2, 1), (4, 3, 1), (9, 1, 4)])
def test_gradients_of_first_and_second_order_by_finite_differences(window, strides, padding):
    with jax.enable_x64(True):
        # Distinct values far apart, so that a small step never moves a maximum.
        x = jnp.asarray(np.random.default_rng(0).permutation(5 * 6 * 2).reshape(1, 5, 6, 2) / 10.0)

        def pool(x):
            return jnp.sin(ops.max_pool_with_argmax(x, window, strides=strides, padding=padding, ceil_mode=True)[0])

        check_derivatives(pool, x)


@pytest.mark.parametrize("window", [(2, 2), (3, 4), None])
def test_gradients_of_unpooling_by_finite_differences(window):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        if window is None:
            flat = jnp.asarray(rng.permutation(5 * 7)[: 3 * 4].reshape(1, 3, 4, 1))
            indices = ops.PoolIndices.from_flat(flat, (5, 7), window=None)
        else:
            _, indices = ops.max_pool_with_argmax(
                jnp.asarray(rng.standard_normal((1, 5, 7, 2))), window, ceil_mode=True
            )
        v = jnp.asarray(rng.standard_normal(indices.offsets.shape))
        assert v.dtype == jnp.float64
        check_derivatives(lambda v: ops.max_unpool(jnp.sin(v), indices) ** 2, v)


def test_second_derivatives_agree_in_every_mode():
    x = normal(0, (1, 5, 4, 2))

    def loss(x):
        y, indices = ops.max_pool_with_argmax(x, 3, strides=2, padding=1)
        return jnp.sum(jnp.sin(ops.max_unpool(y**2, indices)) * x)

    direction = normal(1, x.shape)
    reverse = jax.jit(jax.grad(lambda x: jnp.vdot(jax.grad(loss)(x), direction)))(x)
    forward = jax.jit(lambda x: jax.jvp(jax.grad(loss), (x,), (direction,))[1])(x)
    np.testing.assert_allclose(forward, reverse, rtol=1e-4, atol=1e-5)
    assert np.abs(reverse).max() > 1


def test_vmap_and_scan_equal_a_loop():
    x = normal(0, (3, 2, 7, 5, 3))

    def there_and_back(x):
        values, indices = ops.max_pool_with_argmax(x, 3, strides=2, ceil_mode=True)
        return values, indices, ops.max_unpool(values * 2, indices)

    mapped = jax.jit(jax.vmap(there_and_back))(x)
    _, scanned = jax.lax.scan(lambda _, x: (None, there_and_back(x)), None, x)
    for i in range(3):
        expected_values, expected_indices, expected_plane = there_and_back(x[i])
        for values, indices, plane in (mapped, scanned):
            np.testing.assert_array_equal(values[i], expected_values)
            np.testing.assert_array_equal(indices.flat()[i], expected_indices.flat())
            np.testing.assert_array_equal(plane[i], expected_plane)

    weight = normal(1, x.shape)

    def loss(x, weight):
        return jnp.sum(there_and_back(x)[2] * weight)

    gradient = jax.jit(jax.vmap(jax.grad(loss)))(x, weight)
    np.testing.assert_allclose(gradient[2], jax.grad(loss)(x[2], weight[2]), rtol=1e-6)


def test_indices_are_a_pytree():
    x = normal(0, (1, 4, 6, 2))
    _, indices = ops.max_pool_with_argmax(x)
    assert len(jax.tree.leaves(indices)) == 1
    moved = jax.device_put(indices, jax.devices()[0])
    np.testing.assert_array_equal(moved.flat(), indices.flat())
    through = jax.jit(lambda indices: indices)(jax.tree.map(lambda a: a, moved))
    assert through.geometry == indices.geometry

    @jax.custom_vjp
    def unpooled(v, indices):
        return ops.max_unpool(v, indices)

    unpooled.defvjp(lambda v, indices: (unpooled(v, indices), indices), lambda indices, g: (3 * g[:, ::2, ::2], None))
    v = jnp.ones((1, 2, 3, 2))
    gradient = jax.grad(lambda v: unpooled(v, indices).sum())(v)
    np.testing.assert_array_equal(gradient, np.full(v.shape, 3.0))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize(("window", "strides", "padding"), [(2, 2, 0), (3, 1, 1)])
def test_16_bits_round_what_float32_gives(dtype, window, strides, padding):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((2, 9, 8, 3)), dtype)
    pool = jax.jit(lambda x: ops.max_pool_with_argmax(x, window, strides=strides, padding=padding))
    values, indices = pool(x)
    wide_values, wide_indices = pool(x.astype(jnp.float32))
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, wide_values.astype(dtype))
    np.testing.assert_array_equal(indices.offsets, wide_indices.offsets)
    np.testing.assert_array_equal(
        ops.max_unpool(values, indices), ops.max_unpool(wide_values, wide_indices).astype(dtype)
    )
    g = jnp.asarray(rng.standard_normal(values.shape), dtype)
    dx = jax.vjp(lambda x: pool(x)[0], x)[1](g)[0]
    wide_dx = jax.vjp(lambda x: pool(x)[0], x.astype(jnp.float32))[1](g.astype(jnp.float32))[0]
    assert dx.dtype == dtype
    np.testing.assert_array_equal(dx, wide_dx.astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
@pytest.mark.parametrize("window", [3, 9])
def test_integers(dtype, window):
    bounds = np.iinfo(dtype)
    x = np.random.default_rng(0).integers(bounds.min, bounds.min + 4, (2, 11, 10, 2), dtype)
    values, indices = ops.max_pool_with_argmax(jnp.asarray(x), window, strides=2, padding=window // 2)
    padding = ((window // 2,) * 2,) * 2
    expected, flat = loops(x, (window, window), (2, 2), padding, (1, 1), False)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(indices.flat(), flat)


def test_an_empty_batch():
    values, indices = ops.max_pool_with_argmax(jnp.zeros((0, 5, 4, 3)), 3, strides=2, padding=1)
    assert ops.max_unpool(values, indices).shape == (0, 5, 4, 3)
    assert indices.flat().shape == (0, 3, 2, 3)


def lowered(function, *args):
    return jax.jit(function).lower(*args).as_text()


def pooled(x, window, strides=None, padding="VALID", ceil_mode=False):
    return ops.max_pool_with_argmax(x, window, strides=strides, padding=padding, ceil_mode=ceil_mode)


@pytest.mark.parametrize(("window", "strides", "padding"), [(2, 2, 0), (3, 2, 1), (9, 1, 4)])
def test_nothing_selects_and_scatters(window, strides, padding):
    x = jnp.zeros((1, 12, 12, 2))

    def loss(x):
        y, indices = pooled(x, window, strides=strides, padding=padding)
        return jnp.sum(ops.max_unpool(y**2, indices) * x)

    for function in (loss, jax.grad(loss)):
        text = lowered(function, x)
        assert "select_and_scatter" not in text
        assert ("scatter" in text) == (window == 9)
    # The tangent of an unpooling is a sum.
    assert "scatter" not in lowered(lambda x: jax.jvp(jax.grad(loss), (x,), (x,))[1], x)


def abstract(shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def temporary_bytes(function, *args):
    memory = jax.jit(function).lower(*args).compile().memory_analysis()
    assert memory is not None
    return memory.temp_size_in_bytes


@pytest.mark.parametrize("size", [(256, 256), (255, 255)])
def test_2x2_windows_store_a_byte_each_and_nothing_else(size):
    pool = functools.partial(pooled, window=2, ceil_mode=True)
    x = abstract((8, *size, 64))
    values, indices = jax.eval_shape(pool, x)
    windows = math.prod(values.shape)
    assert windows == 8 * 128 * 128 * 64
    assert temporary_bytes(pool, x) == 0
    assert temporary_bytes(lambda x, g: jax.vjp(pool, x, has_aux=True)[1](g), x, values) <= windows
    assert temporary_bytes(ops.max_unpool, values, indices) == 0
    packed = jax.eval_shape(lambda indices: indices.pack(), indices)
    assert packed.offsets.size == windows / 4
    assert temporary_bytes(ops.max_unpool, values, packed) == 0

    def unpool_gradient(v, indices, g):
        return jax.vjp(lambda v: ops.max_unpool(v, indices), v)[1](g)

    assert temporary_bytes(unpool_gradient, values, indices, x) == 0


def test_an_unpooling_far_below_does_not_keep_the_pooled_input():
    weight = normal(0, (32, 32))

    def hourglass(x):
        values, indices = pooled(x @ weight, 2)
        return ops.max_unpool(values @ weight @ weight, indices)

    x = abstract((2, 64, 64, 32))
    # While it pools: the features, a quarter of them in maxima, and a byte a window. Later all but the features.
    assert temporary_bytes(hourglass, x) <= 1.01 * 4 * x.size * (1 + 1 / 4 + 1 / 16)


@pytest.mark.parametrize("shape", [(2, 4, 8, 3), (1, 7, 9, 1), (3, 1, 1, 5), (1, 2, 26, 4)])
def test_packing_is_exact(shape):
    x = normal(0, shape)
    values, indices = pooled(x, 2, ceil_mode=True)
    packed = jax.jit(lambda indices: indices.pack())(indices)
    n, oh, ow, c = values.shape
    assert packed.offsets.shape == (n, oh, math.ceil(ow / 4), c)
    assert packed.offsets.dtype == jnp.uint8
    np.testing.assert_array_equal(packed.unpack().offsets, indices.offsets)
    np.testing.assert_array_equal(packed.flat(), indices.flat())
    np.testing.assert_array_equal(packed.pack().offsets, packed.offsets)
    np.testing.assert_array_equal(ops.max_unpool(values, packed), ops.max_unpool(values, indices))
    g = normal(1, shape)
    pull, pull_packed = (jax.vjp(lambda v, i=i: ops.max_unpool(v, i), values)[1] for i in (indices, packed))
    np.testing.assert_array_equal(pull_packed(g)[0], pull(g)[0])


def test_packed_memory_is_the_one_of_segnet():
    x = abstract((1, 180, 240, 64))
    packed = jax.eval_shape(lambda x: pooled(x, 2)[1].pack(), x)
    assert packed.offsets.size * packed.offsets.dtype.itemsize == 172_800
    assert x.size * x.dtype.itemsize == 11_059_200


def test_windows_of_more_than_four_cells_do_not_pack():
    _, indices = pooled(jnp.zeros((1, 6, 6, 1)), 3)
    with pytest.raises(ValueError, match=r"at most 4 cells, not of \(3, 3\)"):
        indices.pack()


def test_indices_of_another_size_are_torchs_output_size():
    x = normal(0, (2, 7, 6, 3))
    values, indices = functional.max_pool2d(nchw(x), 2, return_indices=True)
    # One row less: every position keeps its window.
    other = ops.PoolIndices.from_flat(nhwc(indices), input_size=(6, 6), window=2)
    expected = functional.max_unpool2d(values, indices, [2, 2], output_size=[6, 6])
    np.testing.assert_array_equal(ops.max_unpool(nhwc(values), other), nhwc(expected))
    # One column more: positions leave their windows, and some windows may meet.
    with pytest.raises(ValueError, match=r"lies outside its window of \(2, 2\) in an input of \(7, 7\)"):
        ops.PoolIndices.from_flat(nhwc(indices), input_size=(7, 7), window=2)
    other = ops.PoolIndices.from_flat(nhwc(indices), input_size=(7, 7), window=None)
    v = values.clone().requires_grad_()
    expected = functional.max_unpool2d(v, indices, [2, 2], output_size=[7, 7])
    plane, pull = jax.vjp(lambda v: ops.max_unpool(v, other), nhwc(values))
    np.testing.assert_array_equal(plane, nhwc(expected))
    np.testing.assert_array_equal(other.flat(), nhwc(indices))
    g = normal(1, plane.shape)
    expected.backward(nchw(g))
    np.testing.assert_array_equal(pull(g)[0], nhwc(v.grad))


@pytest.mark.parametrize("size", [(3, 3), (20, 17)])
def test_indices_of_no_window_may_name_a_place_twice(size):
    rng = np.random.default_rng(0)
    flat = rng.integers(0, math.prod(size), (2, 4, 5, 3))
    v = normal(1, flat.shape)
    indices = ops.PoolIndices.from_flat(jnp.asarray(flat), size, window=None)
    expected = np.zeros((2, math.prod(size), 3), np.float32)
    for b, i, j, k in np.ndindex(flat.shape):
        expected[b, flat[b, i, j, k], k] = v[b, i, j, k]
    np.testing.assert_array_equal(ops.max_unpool(v, indices).reshape(expected.shape), expected)


def test_a_stray_position_writes_nothing_under_jit():
    flat = jnp.asarray([[0, 15]]).reshape(1, 1, 2, 1)  # in windows of 2 x 2 over (2, 4), 15 is in none
    unpool = jax.jit(lambda v, flat: ops.max_unpool(v, ops.PoolIndices.from_flat(flat, (2, 4))))
    plane = unpool(jnp.ones((1, 1, 2, 1)), flat)
    np.testing.assert_array_equal(plane.ravel(), [1, 0, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 9}, r"\(9, 9\) with strides \(9, 9\).* does not fit into an input of \(7, 6\)"),
        ({"window": (4, 1), "dilation": 3}, r"\(4, 1\).* does not fit into an input of \(7, 6\)"),
        ({"window": 3, "padding": 2}, r"at most half of the window \(3, 3\), got \(\(2, 2\), \(2, 2\)\)"),
        ({"window": 3, "padding": ((0, 2), (0, 0))}, r"at most half .* got \(\(0, 2\), \(0, 0\)\)"),
        ({"window": 2, "padding": (1, 0), "dilation": (8, 1)}, r"steps over the whole input of \(7, 6\)"),
        ({"window": (2, 2, 2)}, r"window must be an int or a pair .* got \(2, 2, 2\)"),
        ({"strides": 0}, "strides must be .* at least 1, got 0"),
        ({"dilation": 1.5}, "dilation must be .* got 1.5"),
        ({"padding": "SAME"}, "padding must be .* got 'SAME'"),
        ({"padding": -1}, "padding must be .* at least 0, got -1"),
    ],
)
def test_bad_geometry(arguments, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: ops.max_pool_with_argmax(x, **arguments), abstract((1, 7, 6, 2)))


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"takes real \(n, h, w, c\), got float32 of shape \(7, 6, 2\)"):
        ops.max_pool_with_argmax(jnp.zeros((7, 6, 2)))
    values, indices = ops.max_pool_with_argmax(jnp.zeros((1, 7, 6, 2)))
    for x in (values[..., :1], values[0], jnp.zeros((1, 7, 6, 2))):
        with pytest.raises(
            ValueError, match=rf"{x.shape} for \(1, 3, 3, 2\)".replace("(", r"\(", 1).replace(")", r"\)", 1)
        ):
            ops.max_unpool(x, indices)
    with pytest.raises(ValueError, match=r"flat of shape \(1, 3, 3, 2\) .* \(3, 3\) windows, but there are \(4, 4\)"):
        ops.PoolIndices.from_flat(indices.flat(), input_size=(9, 8))
    with pytest.raises(ValueError, match=r"axes h, w, c, got shape \(3, 3\)"):
        ops.PoolIndices.from_flat(jnp.zeros((3, 3), int), input_size=(6, 6))


@pytest.mark.parametrize("dtype", [bool, jnp.complex64])
def test_what_has_no_order_is_refused(dtype):
    with pytest.raises(
        ValueError, match=r"^max_pool_with_argmax takes real \(n, h, w, c\), got (bool|complex64) of shape"
    ):
        ops.max_pool_with_argmax(jnp.zeros((1, 4, 4, 1), dtype))
