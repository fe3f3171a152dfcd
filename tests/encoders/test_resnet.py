"""ResNet's parts beside timm's, one block a stage: whole ones are compared by `python -m benchmarks.parity`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import check_levels, check_levels_and_gradients

from benchmarks.torch_encoders import paired
from segjax import encoders, ops

SHORT: Any = {"blocks": (1, 1, 1, 1), "theirs": {"layers": [1, 1, 1, 1]}}
DILATED: Any = {"blocks": (1, 1, 2, 2), "theirs": {"layers": [1, 1, 2, 2], "output_stride": 8}, "output_stride": 8}
DEEP: Any = {"blocks": (1, 1, 1, 1), "theirs": {"layers": [1, 1, 1, 1], "output_stride": 16}, "output_stride": 16}


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18", DILATED, (65, 97)),
        ("resnext50_32x4d", DILATED, (33, 47)),
        ("resnet50d", DEEP, (33, 47)),
        ("wide_resnet50_2", SHORT, (33, 47)),
    ],
)
def test_every_level_is_timms(name: str, options: dict[str, Any], size: tuple[int, int]):
    check_levels(paired(name, **options), size)


def test_levels_and_gradients_are_timms():
    check_levels_and_gradients(paired("resnet18", **SHORT), (65, 97))


def test_every_level_is_timms_in_float32():
    check_levels(paired("resnet18", **SHORT), (64, 64), np.float32)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_stem_is_pooled_with_indices(depth: int):
    levels, variables = jax.eval_shape(
        lambda image: encoders.resnet18(depth=depth).init_with_output(jax.random.key(0), image, train=False),
        jax.ShapeDtypeStruct((1, 65, 97, 3), jnp.float32),
    )
    assert [level.stride for level in levels] == [2**i for i in range(1, depth + 1)]
    assert [level.indices is not None for level in levels] == [depth > 1, *[False] * (depth - 1)]
    assert len(variables["params"]) == 2 + 2 * (depth - 1)  # convolution and norm, and two blocks a stage
    if depth > 1:
        indices = levels[0].indices
        unpooled = jax.eval_shape(ops.max_unpool, levels[1].features, indices)
        assert unpooled.shape == levels[0].features.shape
