import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import check_levels, check_levels_and_gradients

from benchmarks.torch_encoders import paired
from segjax import encoders


def test_every_level_is_timms():
    """timm's pools in ceil mode here, as is said in `benchmarks.torch_encoders`."""
    check_levels_and_gradients(paired("vgg11_bn"), (33, 47))


def test_every_level_is_timms_in_float32():
    check_levels(paired("vgg11"), (32, 32), np.float32)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_levels_have_the_indices_of_the_pooling_below(depth: int):
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)
    levels, variables = jax.eval_shape(
        lambda image: encoders.vgg16(depth=depth).init_with_output(jax.random.key(0), image, train=False), image
    )
    assert [level.stride for level in levels] == [2**i for i in range(depth + 1)]
    assert [level.indices is not None for level in levels] == [True] * depth + [False]
    assert len(variables["params"]) == {1: 4, 3: 10, 5: 13}[depth]
