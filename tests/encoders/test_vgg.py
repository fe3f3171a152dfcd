from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import check_gradients

from benchmarks.beside_torch import level_differences
from benchmarks.torch_encoders import paired
from segjax import encoders


@pytest.fixture(scope="module")
def vgg11_bn():
    return paired("vgg11_bn")


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_every_level_is_timms(vgg11_bn: Any, size: tuple[int, int]):
    """timm's pools in ceil mode here, as is said in `benchmarks.torch_encoders`."""
    differences = level_differences(vgg11_bn, size)
    assert len(differences) == 6
    assert max(differences) < 1e-10


def test_gradients_are_timms():
    shallow = paired("vgg11_bn", theirs={"out_indices": (0, 1, 2)}, depth=2)
    check_gradients(shallow, (9, 14))


def test_every_level_is_timms_in_float32():
    assert max(level_differences(paired("vgg11"), (32, 32), np.float32)) < 1e-5


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_levels_have_the_indices_of_the_pooling_below(depth: int):
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)
    levels, variables = jax.eval_shape(
        lambda image: encoders.vgg16(depth=depth).init_with_output(jax.random.key(0), image, train=False), image
    )
    assert [level.stride for level in levels] == [2**i for i in range(depth + 1)]
    assert [level.indices is not None for level in levels] == [True] * depth + [False]
    assert len(variables["params"]) == {1: 4, 3: 10, 5: 13}[depth]
