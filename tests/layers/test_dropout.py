import dataclasses
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax import decoders, models
from segjax.layers.dropout import Dropout
from segjax.level import level_at

LEVELS = tuple(level_at(jnp.zeros((1, 32, 32, 3)), s, jnp.zeros((1, 32 // s, 32 // s, 4))) for s in (2, 4, 8, 16, 32))
WITH = [name for name, make in decoders.BY_NAME.items() if any(f.name == "dropout" for f in dataclasses.fields(make()))]
PARTS = {
    **{name: partial(decoders.named, name) for name in WITH},
    "fcn": partial(decoders.FCNDecoder, 2),
    "auxiliary head": partial(models.AuxiliaryHead, 2),
}


@pytest.mark.parametrize("rate", [-1.0, 1.5])
@pytest.mark.parametrize("part", PARTS)
def test_a_rate_that_is_no_share_is_refused(part: str, rate: float):
    module: nn.Module = PARTS[part](dropout=rate)
    with pytest.raises(ValueError, match=rf"share of features that are left out, in 0\.\.1, got {rate}"):
        jax.eval_shape(partial(module.init, train=False), jax.random.key(0), LEVELS)


def test_the_numbers_are_those_of_flax():
    x, rngs = jnp.ones((64, 3)), {"dropout": jax.random.key(0)}

    def of(dropout: type[nn.Dropout]) -> np.ndarray:
        class Two(nn.Module):
            @nn.compact
            def __call__(self, x: jax.Array) -> jax.Array:
                return dropout(0.25, deterministic=False)(dropout(0.5, deterministic=False)(x))

        return np.asarray(Two().apply({}, x, rngs=rngs))

    np.testing.assert_array_equal(of(Dropout), of(nn.Dropout))
