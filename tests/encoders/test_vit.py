from functools import partial

import jax
import numpy as np
import pytest
import torch
from against_torch import check_both_precisions, check_levels, check_round_trip
from timm.models.vision_transformer import VisionTransformer

from benchmarks.beside_torch import Pairing, cast, jit, noise, to_torch
from benchmarks.torch_encoders import of_vit
from segjax.encoders import vit

SMALL = vit.VisionTransformer(12, 3, 5, patch=8, grid=8, depth=2)
DINO = vit.VisionTransformer(12, 3, 2, patch=8, grid=8, registers=3, layer_scale=0.1, normalized=True, depth=2)


def timms(blocks: int, **options):
    return VisionTransformer(
        img_size=64,
        patch_size=8,
        embed_dim=12,
        num_heads=3,
        depth=blocks,
        dynamic_img_size=True,
        dynamic_img_pad=True,
        **options,
    )


@pytest.fixture(scope="module")
def plain():
    return Pairing(SMALL, of_vit(timms(5), depth=2))


@pytest.fixture(scope="module")
def dino():
    module = timms(2, reg_tokens=3, no_embed_class=True, init_values=0.1)
    return Pairing(DINO, of_vit(module, depth=2, norm=True))


@pytest.mark.parametrize("size", [(64, 64), (33, 97)])
def test_levels_are_timms_at_every_size(plain, size):
    """The one of the grid, whose positions stay as they are, and another."""
    check_levels(plain, size)


def test_levels_and_gradients_are_timms_with_registers(dino):
    check_both_precisions(dino, (64, 48), (60, 100))


def test_tokens_are_timms(dino):
    image = noise((64, 64))
    with torch.no_grad():
        expected = dino.reference.levels(to_torch(image), return_prefix_tokens=True)
    with jax.enable_x64(True):
        run = jit(partial(DINO.clone(dtype=np.float64).apply, train=False))
        levels = run(cast(dino.variables, np.float64), cast(image, np.float64))
    for level, (_, tokens) in zip(levels, expected, strict=True):
        assert level.tokens.shape == (2, 4, 12)
        np.testing.assert_allclose(level.tokens, tokens, rtol=0, atol=1e-10 * np.abs(tokens.numpy()).max())


def test_weights_come_and_go_unchanged(plain, dino):
    check_round_trip(plain)
    check_round_trip(dino)
