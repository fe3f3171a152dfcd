"""DPT beside segmentation_models.pytorch's, and on levels that it does not have."""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from smp import randomise_statistics, smp

from segjax import decoders
from segjax.level import Level, level_at
from segjax.weights import smp_names
from segjax.weights.convert import from_torch

jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def levels_of(strides, rows, columns, *, tokens=True):
    rng, image = np.random.default_rng(0), jnp.zeros((2, rows, columns, 3))
    levels = [level_at(image, 1)]
    for stride in strides:
        size = (2, -(-rows // stride), -(-columns // stride), 24)
        own = {"tokens": jnp.asarray(rng.standard_normal((2, 3, 24), np.float32))} if tokens else {}
        levels.append(level_at(image, stride, jnp.asarray(rng.standard_normal(size, np.float32)), **own))
    return tuple(levels)


def test_equals_smp():
    torch.manual_seed(0)
    module = importlib.import_module(f"{smp.__name__}.decoders.dpt.decoder")
    reference = module.DPTDecoder((24,) * 4, (16,) * 4, True, "cat", (8, 16, 24, 32), 16)
    head = module.DPTSegmentationHead(16, 3)
    whole = torch.nn.ModuleDict({"decoder": reference, "segmentation_head": head})
    randomise_statistics(whole.eval())
    levels = levels_of((16,) * 4, 64, 96)
    features = [torch.from_numpy(np.asarray(level.features).transpose(0, 3, 1, 2).copy()) for level in levels[1:]]
    with torch.no_grad():
        y = reference(features, [torch.from_numpy(np.asarray(level.tokens).copy()) for level in levels[1:]])
        expected = head.head(y).numpy().transpose(0, 2, 3, 1)
    state = smp_names.of_model({name: value.numpy() for name, value in whole.state_dict().items()}, "dpt")
    decoder = decoders.DPTDecoder((8, 16, 24, 32), 16)
    like = jax.eval_shape(partial(decoder.init, train=False), jax.random.key(0), levels)
    own = {name.removeprefix("decoder."): value for name, value in state.items() if name.startswith("decoder.")}
    variables = from_torch(own, like, transposed=smp_names.TRANSPOSED)
    (found,) = jit(partial(decoder.apply, train=False))(variables, levels)
    assert found.stride == 2
    logits = np.asarray(found.features) @ state["head.weight"][:, :, 0, 0].T + state["head.bias"]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * abs(expected).max())


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
