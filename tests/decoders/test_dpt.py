"""DPT on levels that segmentation_models.pytorch's does not have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import decoders
from segjax.level import Level, level_at


def levels_of(strides, rows, columns, *, tokens=True):
    rng, image = np.random.default_rng(0), jnp.zeros((2, rows, columns, 3))
    levels = [level_at(image, 1)]
    for stride in strides:
        size = (2, -(-rows // stride), -(-columns // stride), 24)
        own = {"tokens": jnp.asarray(rng.standard_normal((2, 3, 24), np.float32))} if tokens else {}
        levels.append(level_at(image, stride, jnp.asarray(rng.standard_normal(size, np.float32)), **own))
    return tuple(levels)


@pytest.mark.parametrize("strides", [(14,) * 4, (16,) * 4, (4, 8, 16, 32), (2, 4, 8, 8, 8), (8, 16)])
def test_any_levels_are_brought_to_a_pyramid(strides):
    decoder = decoders.DPTDecoder((8, 16), 16)
    for size in ((1, 1), (33, 47)):
        levels = levels_of(strides, *size, tokens=strides[0] == 14)
        found = jax.eval_shape(
            lambda levels: decoder.init_with_output(jax.random.key(0), levels, train=False)[0], levels
        )
        assert isinstance(found[0], Level)
        assert found[0].features.shape == (2, -(-size[0] // 2), -(-size[1] // 2), 16)
