import re
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import check_levels, check_levels_and_gradients

from benchmarks.torch_encoders import paired
from segjax import weights
from segjax.encoders.efficientnet import Block, EfficientNet, MobileBlock

SMALL = (33, 47)


@pytest.fixture(scope="module")
def lite0():
    return paired("efficientnet_lite0")


def test_every_level_is_timms(lite0: Any):
    check_levels(lite0, (65, 97))


def test_every_level_is_timms_with_squeezing_and_fused_blocks():
    shallow = paired("efficientnet_v2_s", theirs={"out_indices": (0, 1, 2, 3)}, unused=r"blocks\.[56]\.", depth=4)
    check_levels(shallow, SMALL)


def test_every_level_is_timms_dilated():
    dilated = paired("efficientnet_lite0", theirs={"output_stride": 8}, output_stride=8)
    check_levels(dilated, SMALL)


def test_every_level_is_timms_in_float32(lite0: Any):
    check_levels(lite0, (64, 64), np.float32)


def test_gradients_are_timms_and_levels_with_squeezing():
    shallow = paired("efficientnet_b0", theirs={"out_indices": (0, 1, 2)}, unused=r"blocks\.[3-6]\.", depth=3)
    check_levels_and_gradients(shallow, (17, 23), r"blocks\.1\.0\.")


def test_paths_are_dropped_in_training_alone():
    block = MobileBlock(Block("conv", 4, 4), drop_path=0.5)
    x = jnp.ones((16, 3, 3, 4))
    evaluated, variables = jax.jit(partial(block.init_with_output, train=False))(jax.random.key(0), x)
    run = jax.jit(partial(block.apply, train=True, mutable="batch_stats"))
    one, again, other = (run(variables, x, rngs={"dropout": jax.random.key(seed)})[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    left_out = np.all(np.asarray(one) == 1, axis=(1, 2, 3))
    assert 0 < left_out.sum() < 16
    assert np.any(one != other)
    with pytest.raises(Exception, match="dropout"):
        run(variables, x)
    assert not np.any(np.all(np.asarray(evaluated) == 1, axis=(1, 2, 3)))


def test_names_of_files_that_count_blocks_through():
    names = weights.named("efficientnet_lite1.imagenet").names
    brought = {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn0.bias": "bn1.bias",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.0._bn1.weight": "blocks.0.0.bn1.weight",
        "_blocks.3._expand_conv.weight": "blocks.1.2.conv_pw.weight",
        "_blocks.3._bn2.running_var": "blocks.1.2.bn3.running_var",
        "_blocks.12._depthwise_conv.weight": "blocks.4.1.conv_dw.weight",
        "_bn1.weight": "bn2.weight",
        "_fc.bias": "classifier.bias",
    }
    for original, expected in brought.items():
        for rule in names:
            original = re.sub(*rule, original)
        assert original == expected


def test_a_level_may_be_the_stems_or_a_first_blocks():
    block = Block("separable", 8, 8)
    whole = EfficientNet(((block,), (replace(block, stride=2), block)), stem=8, depth=2)
    taken = whole.clone(stem_level=True, first_block_at=(4,))
    short = whole.clone(stages=((block,), (replace(block, stride=2),)))
    image = np.random.default_rng(0).standard_normal((1, 16, 16, 3)).astype(np.float32)

    def all_levels(image: Any) -> Any:
        variables = whole.init(jax.random.key(0), image, train=False)
        found: list[Any] = [
            module.apply(variables, image, train=False) for module in (whole, taken, short, taken.clone(depth=1))
        ]
        return [[level.features for level in levels] for levels in found]

    found = jax.jit(all_levels)(image)
    usual, (stem, first), (_, expected), (only,) = found
    np.testing.assert_array_equal(first, expected)
    np.testing.assert_array_equal(stem, only)
    assert not np.array_equal(stem, usual[0])
    assert not np.array_equal(first, usual[1])
