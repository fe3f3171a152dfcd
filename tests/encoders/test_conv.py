from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segjax.encoders import ConvEncoder, vgg16_stages
from segjax.layers import ConvBlock

KEY = jax.random.key(0)
STAGES = ((4, 4), (6,), (), (8,))


def levels_at(rows, columns, stages=STAGES):
    encoder = ConvEncoder(stages)
    image = jax.ShapeDtypeStruct((2, rows, columns, 3), jnp.float32)
    return jax.eval_shape(lambda key, image: encoder.init_with_output(key, image, train=False)[0], KEY, image)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 1), (33, 47), (64, 48), (7, 1)])
def test_each_level_halves_the_one_before_rounding_up(rows, columns):
    levels = levels_at(rows, columns)
    assert len(levels) == len(STAGES)
    for i, (level, width) in enumerate(zip(levels, (4, 6, 6, 8), strict=True)):
        assert level.features.shape == (2, -(-rows // 2**i), -(-columns // 2**i), width)
        assert (level.size, level.stride) == (level.features.shape[1:3], 2**i)
        assert (level.indices is None) == (i == len(STAGES) - 1)


@pytest.mark.parametrize("stages", [(), ((4,), (0,)), ((-2, 4),)])
def test_no_stage_or_no_channel_is_refused(stages):
    with pytest.raises(ValueError, match="at least one stage, of widths of at least 1"):
        ConvEncoder(stages)


def test_pooling_is_torch_in_ceil_mode_with_its_indices():
    image = np.random.default_rng(0).standard_normal((2, 9, 7, 3), np.float32)
    encoder = ConvEncoder(((), (5,), ()), partial(ConvBlock, norm=None))
    kernel = np.random.default_rng(1).standard_normal((3, 3, 3, 5), np.float32)
    params = {"stage2": {"conv1": {"kernel": kernel, "bias": np.ones(5, np.float32)}}}
    levels = jax.jit(partial(encoder.apply, train=False))({"params": params}, image)
    np.testing.assert_array_equal(levels[0].features, image)
    for level, below in ((levels[0], None), (levels[1], levels[2])):
        assert level.indices is not None
        x = torch.from_numpy(np.array(level.features)).permute(0, 3, 1, 2)
        values, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        np.testing.assert_array_equal(level.indices.flat(), indices.permute(0, 2, 3, 1))
        if below is not None:
            np.testing.assert_array_equal(below.features, values.permute(0, 2, 3, 1))


def test_vgg16_has_thirteen_convolutions_and_the_published_parameters():
    encoder = ConvEncoder((*vgg16_stages(), ()), partial(ConvBlock, norm=None))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    levels, variables = jax.eval_shape(partial(encoder.init_with_output, train=False), KEY, image)
    assert levels[-1].features.shape == (1, 7, 7, 512)
    kernels = [leaf for leaf in jax.tree.leaves(variables) if leaf.ndim == 4]
    assert len(kernels) == 13
    # VGG-16 has 138,357,544 parameters, of which three fully connected layers hold 123,642,856.
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 138_357_544 - 123_642_856
    assert vgg16_stages(4) == ((4, 4), (8, 8), (16,) * 3, (32,) * 3, (32,) * 3)
