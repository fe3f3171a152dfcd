# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false
from functools import partial
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segjax import ops, upsampling
from segjax.errors import ExperimentError
from segjax.level import Level
from segjax.upsampling import BY_NAME

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
ROWS, COLUMNS, WIDTH = 5, 7, 8  # of the level; x has 3x4 pixels
X = RNG.standard_normal((2, 3, 4, 8), np.float32)
FEATURES = RNG.standard_normal((2, ROWS, COLUMNS, WIDTH), np.float32)


def pooled(features):
    indices = ops.max_pool_with_argmax(features, window=2, ceil_mode=True)[1]
    return Level(features, features.shape[1:3], 1, indices)


def place(rows, columns):
    return Level(None, (rows, columns), 1)


LEVEL = jax.jit(pooled)(FEATURES)


def variables_for(model, x=X, level=LEVEL):
    """Variables of the model's shapes, drawn by NumPy: nothing to compile."""
    rng = np.random.default_rng(1)
    tree = jax.eval_shape(model.init, KEY, x, level)
    return jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32) * 0.3, tree)


def run(model, x=X, level=LEVEL):
    variables = variables_for(model, x, level)
    return jax.jit(model.apply)(variables, x, level), variables.get("params", {})


def to_torch(leaf, order=(0, 3, 1, 2)):
    t = torch.from_numpy(np.array(leaf))
    return t.permute(order) if t.ndim == 4 else t


def conv(x, p, **kwargs):
    """torch's convolution with the parameters of a Linen one."""
    return F.conv2d(x, to_torch(p["kernel"], (3, 2, 0, 1)), to_torch(p["bias"]), **kwargs)


def assert_same(ours, theirs, rtol=1e-5):
    theirs = theirs[:, :, :ROWS, :COLUMNS].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max())


def count(model, x):
    level = place(2 * x.shape[1], 2 * x.shape[2])
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, KEY, x, level)))


def test_the_names_are_the_table():
    assert get_args(upsampling.Upsampler) == tuple(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 1), (33, 47), (8, 6)])
def test_result_has_the_size_of_the_level_and_the_channels_asked_for(name, rows, columns):
    x = jax.ShapeDtypeStruct((2, -(-rows // 2), -(-columns // 2), 8), jnp.float32)
    level = jax.eval_shape(pooled, jax.ShapeDtypeStruct((2, rows, columns, 6), jnp.float32))
    for i, features in enumerate((None, 4, 12)):
        dtype = (jnp.float32, jnp.bfloat16)[(i + rows) % 2]  # each with all features, at even rows or at odd ones
        y, variables = jax.eval_shape(BY_NAME[name](features=features, dtype=dtype).init_with_output, KEY, x, level)
        assert (y.shape, y.dtype) == ((2, rows, columns, features or 8), dtype)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize("name", BY_NAME)
def test_another_size_is_refused_with_both_shapes(name):
    x = jax.ShapeDtypeStruct((2, 3, 5, 8), jnp.float32)
    with pytest.raises(ValueError, match=r"5x7 takes a map of 3x4, but got x of shape \(2, 3, 5, 8\)"):
        jax.eval_shape(BY_NAME[name]().init, KEY, x, LEVEL)


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "max_unpool"])
@pytest.mark.parametrize("factor", [3, 4, 8])
def test_other_factors(name, factor):
    level = Level(jnp.zeros((1, 17, 40, 3)), (17, 40), 1)
    x = jax.ShapeDtypeStruct((1, -(-17 // factor), -(-40 // factor), 8), jnp.float32)
    y, _ = jax.eval_shape(BY_NAME[name](factor=factor, features=4).init_with_output, KEY, x, level)
    assert y.shape == (1, 17, 40, 4)


@pytest.mark.parametrize("name", BY_NAME)
def test_by_one_nothing_is_done_but_a_projection_where_channels_change(name):
    level = Level(None, X.shape[1:3], 8)
    y, params = run(BY_NAME[name](factor=1), X, level)
    assert params == {}
    np.testing.assert_array_equal(y, X)
    y, params = run(BY_NAME[name](factor=1, features=5), X, level)
    assert list(params) == ["project"]
    theirs = conv(to_torch(X), params["project"]).permute(0, 2, 3, 1)
    np.testing.assert_allclose(y, theirs, rtol=1e-5, atol=1e-5)


def test_a_window_smaller_than_the_stride_is_refused():
    with pytest.raises(ValueError, match="stride 4 with a 3x3 window leaves holes"):
        jax.eval_shape(upsampling.ConvTranspose(factor=4, overlap=-1).init, KEY, X, place(9, 13))


def test_max_unpool_undoes_one_pooling():
    level = LEVEL.replace(size=(9, 13))
    with pytest.raises(ValueError, match=r"by 4 cannot undo a pooling with strides \(2, 2\): go one level at a time"):
        jax.eval_shape(upsampling.MaxUnpool(factor=4).init, KEY, X, level)


def test_max_unpool_takes_the_size_that_the_pooling_left():
    _, indices = ops.max_pool_with_argmax(FEATURES, window=2)  # without ceil mode: 2x3 windows of 5x7 cells
    with pytest.raises(ValueError, match=r"the \(2, 3\) .* left, but got \(2, 3, 4, 8\): pool in ceil mode"):
        jax.eval_shape(upsampling.MaxUnpool().init, KEY, X, LEVEL.replace(indices=indices))


def test_nearest_and_bilinear_are_the_interpolations_of_a_projection():
    for name, kwargs in (("nearest", {}), ("bilinear", {"align_corners": False})):
        y, params = run(BY_NAME[name]())
        assert params == {}
        assert_same(y, F.interpolate(to_torch(X), scale_factor=2, mode=name, **kwargs))
        y, params = run(BY_NAME[name](features=5))
        assert list(params) == ["project"]
        assert_same(y, F.interpolate(conv(to_torch(X), params["project"]), scale_factor=2, mode=name, **kwargs))


def test_max_unpool_puts_values_where_the_maxima_were():
    _, indices = F.max_pool2d(to_torch(FEATURES), 2, ceil_mode=True, return_indices=True)
    unpool = partial(F.max_unpool2d, indices=indices, kernel_size=[2, 2], output_size=[ROWS, COLUMNS])
    y, params = run(upsampling.MaxUnpool())
    assert params == {}
    assert_same(y, unpool(to_torch(X)))
    narrow = X[..., :3]
    y, params = run(upsampling.MaxUnpool(features=5), narrow)
    assert {name: p["kernel"].shape[2:] for name, p in params.items()} == {"project": (3, 8), "project_out": (8, 5)}
    assert_same(y, conv(unpool(conv(to_torch(narrow), params["project"])), params["project_out"]))


def test_max_unpool_without_indices_says_which_encoder_has_them():
    with pytest.raises(ValueError, match=r"stride 1 .*indices are None: take an encoder that max-pools"):
        upsampling.MaxUnpool().apply({}, X, LEVEL.replace(indices=None))


def test_an_overlapping_stem_is_unpooled():
    """ResNet's: windows of 3x3 at stride 2, which share rows and columns."""
    features = RNG.standard_normal((2, 9, 13, 8), np.float32)
    values, indices = ops.max_pool_with_argmax(features, window=3, strides=2, padding=1)
    level = Level(features, (9, 13), 2, indices)
    y, params = run(upsampling.MaxUnpool(), values, level)
    theirs, flat = F.max_pool2d(to_torch(features), 3, 2, 1, return_indices=True)
    unpooled = F.max_unpool2d(theirs, flat, [3, 3], [2, 2], [1, 1], output_size=[9, 13]).permute(0, 2, 3, 1)
    assert params == {}
    np.testing.assert_array_equal(y, unpooled)


@pytest.mark.parametrize("factor", [2, 4])
def test_where_the_encoder_strides_the_skip_says_where_values_go(factor):
    features = RNG.standard_normal((2, 9, 14, 8), np.float32)
    level = Level(features, (9, 14), 1)
    values, flat = F.max_pool2d(to_torch(features), factor, ceil_mode=True, return_indices=True)
    x = values.permute(0, 2, 3, 1).numpy()
    y, params = run(upsampling.BY_NAME["max_unpool_of_skip"](factor=factor), x, level)
    assert params == {}
    np.testing.assert_array_equal(y != 0, features == np.asarray(y))  # every value stands where the skip has it
    assert (np.asarray(y) != 0).sum() == values.numel() == flat.numel()
    with pytest.raises(ValueError, match="neither indices nor features: end the climb before it"):
        jax.eval_shape(upsampling.MaxUnpool(of_skip=True).init, KEY, X, place(5, 7))


@pytest.mark.parametrize(("window", "padding", "output_padding"), [(2, 0, 0), (3, 1, 1), (4, 1, 0), (5, 2, 1)])
def test_conv_transpose_is_torch(window, padding, output_padding):
    y, params = run(upsampling.ConvTranspose(features=5, overlap=window - 2))
    weight = to_torch(params["kernel"], (2, 3, 0, 1))
    theirs = F.conv_transpose2d(to_torch(X), weight, to_torch(params["bias"]), 2, padding, output_padding)
    assert theirs.shape[2:] == (6, 8)
    assert_same(y, theirs)


def test_conv_transpose_starts_with_the_variance_it_is_given():
    x = jax.ShapeDtypeStruct((1, 3, 3, 64), jnp.float32)
    for factor, window in ((2, 2), (2, 3), (4, 4)):
        model = upsampling.ConvTranspose(factor=factor, overlap=window - factor)
        kernel = jax.jit(model.init)(KEY, jnp.zeros(x.shape), place(3 * factor, 3 * factor))["params"]["kernel"]
        # An output pixel sees one row and column in `factor` of the taps: a quarter of them at 2, on average.
        assert kernel.shape == (window, window, 64, 64)
        assert abs(float(jnp.var(kernel)) * 64 * window**2 / factor**2 - 1) < 0.05


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_start_interpolates_away_from_the_border(factor):
    model = upsampling.bilinear_conv_transpose(factor=factor)
    level = place(3 * factor, 4 * factor)
    y, variables = jax.jit(model.init_with_output)(KEY, X, level)
    assert list(variables["params"]) == ["kernel"]
    theirs = F.interpolate(to_torch(X), scale_factor=factor, mode="bilinear").permute(0, 2, 3, 1)
    inside = (slice(None), slice(factor, -factor), slice(factor, -factor))
    np.testing.assert_allclose(y[inside], theirs[inside], rtol=1e-5, atol=1e-6)
    assert not np.allclose(y, theirs)  # outside there are zeros to mix with, not the border again


def test_bilinear_start_mixes_channels_where_their_number_changes():
    kernel = jax.jit(partial(upsampling.bilinear_init, shape=(4, 4, 256, 128)))(KEY)
    mix = np.asarray(kernel[1, 1]) / 0.75**2
    tent = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(kernel, np.einsum("i,j,cd->ijcd", tent, tent, mix), rtol=1e-5)
    assert 0.9 < mix.var() * 256 < 1.1


@pytest.mark.parametrize("window", [1, 3])
def test_pixel_shuffle_is_torch(window):
    y, params = run(upsampling.PixelShuffle(features=5, window=window))
    assert_same(y, F.pixel_shuffle(conv(to_torch(X), params["conv"], padding=window // 2), 2))


def test_icnr_starts_as_nearest_upsampling_of_a_convolution():
    for factor in (2, 3):
        model = upsampling.PixelShuffle(features=5, factor=factor, icnr=True)
        level = place(3 * factor, 4 * factor)
        y, variables = jax.jit(model.init_with_output)(KEY, X, level)
        first = jax.tree.map(lambda leaf, f=factor: leaf[..., :: f**2], variables["params"]["conv"])
        theirs = F.interpolate(conv(to_torch(X), first, padding=1), scale_factor=factor, mode="nearest")
        np.testing.assert_allclose(y, theirs.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)
        assert float(jnp.std(y)) > 0.3


@pytest.mark.parametrize("factor", [2, 3])
def test_resize_conv_is_nearest_and_then_a_convolution(factor):
    level = place(3 * factor, 4 * factor)
    y, params = run(upsampling.ResizeConv(features=5, factor=factor), X, level)
    theirs = conv(F.interpolate(to_torch(X), scale_factor=factor, mode="nearest"), params, padding=1)
    np.testing.assert_allclose(y, theirs.permute(0, 2, 3, 1), rtol=1e-5, atol=1e-5)


def test_carafe_is_its_paper_written_plainly():
    y, params = run(upsampling.Carafe(features=5))
    x = conv(to_torch(X), params["project"])
    logits = conv(conv(x, params["compress"]), params["encode"], padding=1)
    weights = F.softmax(F.pixel_shuffle(logits, 2), dim=1)
    windows = F.unfold(x, 5, padding=2).reshape(2, 5, 25, 3, 4)
    windows = windows.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    assert_same(y, torch.einsum("nkhw,nckhw->nchw", weights, windows))


def test_carafe_has_the_papers_parameters():
    """Wang et al. 2019: 74 K at 256 channels, window 5, encoder 3 and 64 compressed channels."""
    x = jax.ShapeDtypeStruct((1, 4, 4, 256), jnp.float32)
    assert count(upsampling.Carafe(), x) == (256 + 1) * 64 + (64 * 3 * 3 + 1) * 2 * 2 * 5 * 5 == 74_148


def test_dysample_is_its_paper_written_plainly():
    y, params = run(upsampling.DySample())
    x = to_torch(X)
    move = 0.25 * conv(x, params["offset"]).reshape(2, 2, 4, 2, 2, 3, 4)  # n, axis, group, u, v, h, w
    start = torch.tensor([-0.25, 0.25])
    columns = torch.arange(4) + start[:, None, None] + move[:, 0]
    rows = torch.arange(3)[:, None] + start[:, None, None, None] + move[:, 1]
    grid = torch.stack([(columns + 0.5) * 2 / 4 - 1, (rows + 0.5) * 2 / 3 - 1], dim=-1)  # n, group, u, v, h, w, xy
    grid = grid.permute(0, 1, 4, 2, 5, 3, 6).reshape(8, 6, 8, 2)
    sampled = F.grid_sample(x.reshape(8, 2, 3, 4), grid, padding_mode="border", align_corners=False)
    assert_same(y, sampled.reshape(2, 8, 6, 8))


def test_dysample_starts_as_bilinear_interpolation():
    y, variables = jax.jit(upsampling.DySample().init_with_output)(KEY, X, LEVEL)
    bilinear = F.interpolate(to_torch(X), scale_factor=2, mode="bilinear")[:, :, :ROWS, :COLUMNS].permute(0, 2, 3, 1)
    np.testing.assert_allclose(y, bilinear, atol=0.01)
    assert variables["params"]["offset"]["kernel"].std() > 0


def test_dysample_has_the_papers_parameters_and_takes_any_number_of_channels():
    """Liu et al. 2023: 2 g s**2 weights per channel."""
    x = jax.ShapeDtypeStruct((1, 4, 4, 256), jnp.float32)
    assert count(upsampling.DySample(), x) == 2 * 4 * 2**2 * (256 + 1)
    x = jax.ShapeDtypeStruct((1, 4, 4, 21), jnp.float32)
    assert count(upsampling.DySample(), x) == 2 * 1 * 2**2 * (21 + 1)


def torch_window_means(x, weights, factor=2):
    """Means of 5x5 windows of x (n c 3 4), weighted by (n 25 rows columns)."""
    windows = F.unfold(x, 5, padding=2).reshape(2, -1, 25, *x.shape[2:])
    windows = windows.repeat_interleave(factor, dim=3).repeat_interleave(factor, dim=4)
    return torch.einsum("nkhw,nckhw->nchw", weights, windows)


def grown_guide(factor=2):
    """The level's features with zeros for the rows and columns that rounding up added."""
    more = factor * 3 - ROWS, factor * 4 - COLUMNS
    return F.pad(to_torch(FEATURES), (0, more[1], 0, more[0]))


def test_fade_is_its_paper_written_plainly():
    """Its kernels as its authors make them: a strided convolution for each of the four places of a coarse pixel."""
    y, params = run(upsampling.Fade())
    assert set(params) == {"compress", "compress_guide", "kernel", "bias", "gate"}  # as many channels: nothing to align
    x, kernel, bias = to_torch(X), to_torch(params["kernel"], (3, 2, 0, 1)), to_torch(params["bias"])
    guide = F.pad(conv(to_torch(FEATURES), params["compress_guide"]), (0, 1, 0, 1))
    coarse = F.conv2d(x, to_torch(params["compress"]["kernel"], (3, 2, 0, 1)))
    shared = F.conv2d(coarse, kernel, bias, padding=1)
    phases = [shared + F.conv2d(F.pad(guide, (1 - v, v, 1 - u, u)), kernel, stride=2) for u in (0, 1) for v in (0, 1)]
    logits = F.pixel_shuffle(torch.stack(phases, dim=2).flatten(1, 2), 2)
    gate = F.interpolate(torch.sigmoid(conv(x, params["gate"])), scale_factor=2)
    theirs = gate * grown_guide() + (1 - gate) * torch_window_means(x, F.softmax(logits, dim=1))
    assert_same(y, theirs)


def test_fade_aligns_a_guide_of_other_channels():
    _, params = run(upsampling.Fade(features=5))
    assert {name: params[name]["kernel"].shape[2:] for name in ("project", "align")} == {
        "project": (8, 5),
        "align": (WIDTH, 5),
    }


@pytest.mark.parametrize("factor", [2, 4])
def test_sapa_is_its_paper_written_plainly(factor):
    """By 4 the sixteen new pixels of one are each compared with the window around it."""
    rows, columns = (ROWS, COLUMNS) if factor == 2 else (12, 16)
    features = FEATURES if factor == 2 else RNG.standard_normal((2, rows, columns, WIDTH), np.float32)
    y, params = run(upsampling.Sapa(factor=factor), X, Level(features, (rows, columns), 1))

    def embedded(x, which, norm):
        scale, bias = (to_torch(params[norm][name]) for name in ("scale", "bias"))
        x = F.layer_norm(to_torch(x, (0, 1, 2, 3)), x.shape[-1:], scale, bias)
        return (x @ to_torch(params[which]["kernel"]) + to_torch(params[which]["bias"])).permute(0, 3, 1, 2)

    queries, keys = embedded(features, "queries", "norm_guide"), embedded(X, "keys", "norm")
    queries = F.pad(queries, (0, 4 * factor - columns, 0, 3 * factor - rows))
    windows = F.unfold(keys, 5, padding=2).reshape(2, 32, 25, 3, 4)
    windows = windows.repeat_interleave(factor, dim=3).repeat_interleave(factor, dim=4)
    weights = F.softmax(torch.einsum("nchw,nckhw->nkhw", queries, windows), dim=1)
    theirs = torch_window_means(to_torch(X), weights, factor)[:, :, :rows, :columns].permute(0, 2, 3, 1)
    np.testing.assert_allclose(y, theirs, rtol=1e-4, atol=1e-5)


def test_guided_upsamplers_have_the_papers_parameters():
    """Six of them in SegFormer-B1, whose head has 256 channels, are the +0.29 M and +0.1 M of the authors' tables."""
    x, to = jax.ShapeDtypeStruct((1, 4, 4, 256), jnp.float32), place(8, 8).replace(features=jnp.zeros((1, 8, 8, 100)))
    size = lambda model: sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, KEY, x, to)))  # noqa: E731
    fade = (100 + 1) * 64 + 256 * 64 + (64 * 3 * 3 + 1) * 5**2 + (256 + 1)
    assert size(upsampling.Fade()) == fade + (100 + 1) * 256  # which aligns the guide's channels
    assert size(upsampling.Sapa()) == 2 * 100 + 2 * 256 + (100 + 1) * 32 + (256 + 1) * 32
    to = to.replace(features=jnp.zeros((1, 8, 8, 256)))
    assert (size(upsampling.Fade()), size(upsampling.Sapa())) == (47_514, 17_472)


@pytest.mark.parametrize("name", ["fade", "sapa"])
def test_guided_upsamplers_climb_to_features_alone(name):
    with pytest.raises(ValueError, match=r"stride 1 has none: end the climb before it, as finest_stride or"):
        jax.eval_shape(BY_NAME[name]().init, KEY, X, place(5, 7))


def test_an_upsampler_is_named_or_given():
    assert upsampling.named("carafe") is upsampling.Carafe
    assert upsampling.named(upsampling.DySample) is upsampling.DySample
    with pytest.raises(ExperimentError, match="carafa is no upsampler; name one, such as carafe"):
        upsampling.named("carafa")
