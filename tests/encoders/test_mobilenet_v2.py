from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import check_levels, check_levels_and_gradients

from benchmarks.torch_encoders import paired
from segjax import encoders
from segjax.encoders.efficientnet import Block, MobileBlock
from segjax.encoders.mobilenet_v2 import InvertedResidual


@pytest.fixture(scope="module")
def pairing():
    """A third as wide, so that it computes in no time."""
    return paired("mobilenet_v2", width_multiplier=0.35, theirs={"width_mult": 0.35})


def test_levels_and_gradients_are_torchvisions(pairing: Any):
    check_levels_and_gradients(pairing, (65, 97), r"features\.2\.")


def test_every_level_is_torchvisions_in_float32(pairing: Any):
    check_levels(pairing, (64, 64), np.float32)


@pytest.mark.parametrize(("output_stride", "strides"), [(8, [2, 4, 8, 8, 8]), (16, [2, 4, 8, 16, 16])])
def test_dilation_keeps_the_size(output_stride: int, strides: list[int]):
    encoder = encoders.mobilenet_v2(output_stride=output_stride)
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)
    levels: Any = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
    assert [level.stride for level in levels] == strides
    assert [level.width for level in levels] == [16, 24, 32, 96, 320]


@pytest.mark.parametrize(
    "block",
    [InvertedResidual(8, 1, stride=2), MobileBlock(Block("separable", 8, 8, stride=2))],
    ids=["mobilenet_v2", "mobilenet_v3"],
)
def test_one_pixel_that_is_strided_over_is_not_added(block: Any):
    """Its size stays, as where nothing strides."""
    pixel = jnp.ones((1, 1, 1, 8))
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), pixel, train=False))
    nothing = jax.tree.map(lambda one: jnp.zeros(one.shape), shapes)
    assert not block.apply(nothing, pixel, train=False).any()
