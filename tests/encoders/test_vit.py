from functools import partial

import jax
import numpy as np
import pytest
import torch
from against_torch import (
    Reference,
    check_levels,
    check_round_trip,
    check_single_precision_and_gradients,
    close,
    double,
    images,
    jit,
    randomized,
    to_torch,
    variables_of,
)
from timm.models.vision_transformer import VisionTransformer
from torch.nn import functional as F

from segjax.encoders import vit

SMALL = vit.VisionTransformer(12, 3, 5, patch=8, grid=8, depth=2)
DINO = vit.VisionTransformer(12, 3, 2, patch=8, grid=8, registers=3, layer_scale=0.1, normalized=True, depth=2)
TAKEN = {2: [0, 1], 5: [1, 4]}


def timms(blocks: int, **options):
    module = VisionTransformer(
        img_size=64,
        patch_size=8,
        embed_dim=12,
        num_heads=3,
        depth=blocks,
        dynamic_img_size=True,
        dynamic_img_pad=True,
        **options,
    )
    return randomized(module)


def reference_of(module, **options) -> Reference:
    blocks = len(module.blocks)
    levels = partial(module.forward_intermediates, indices=TAKEN[blocks], intermediates_only=True, **options)
    return Reference(module, levels, vit.TORCH_UNUSED)


@pytest.fixture(scope="module")
def plain():
    return reference_of(timms(5))


@pytest.fixture(scope="module")
def dino():
    return reference_of(timms(2, reg_tokens=3, no_embed_class=True, init_values=0.1), norm=True)


@pytest.fixture(autouse=True)
def precise(monkeypatch):
    """timm resizes positions in single precision."""

    def resample(positions, new_size, old_size, num_prefix_tokens):
        before, grid = positions[:, :num_prefix_tokens], positions[:, num_prefix_tokens:]
        grid = grid.reshape(1, *old_size, -1).permute(0, 3, 1, 2)
        grid = F.interpolate(grid, new_size, mode="bicubic", antialias=True)
        return torch.cat([before, grid.flatten(2).transpose(1, 2)], dim=1)

    monkeypatch.setattr("timm.models.vision_transformer.resample_abs_pos_embed", resample)


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (33, 97)])
def test_levels_are_timms_at_every_size(plain, size):
    check_levels(SMALL, plain, size)


def test_levels_are_timms_with_registers(dino):
    check_levels(DINO, dino, (60, 100))


def test_single_precision_and_gradients_are_timms(dino):
    check_single_precision_and_gradients(DINO, dino, (64, 48))


def test_tokens_are_timms(dino):
    x = images(64, 64)
    with torch.no_grad():
        expected = dino.levels(to_torch(x), return_prefix_tokens=True)
    with jax.enable_x64(True):
        encoder = DINO.clone(dtype=np.float64)
        levels = jit(partial(encoder.apply, train=False))(double(variables_of(DINO, dino)), double(x))
    for level, (_, tokens) in zip(levels, expected, strict=True):
        assert level.tokens.shape == (2, 4, 12)
        close(level.tokens[:, :, None], tokens.transpose(1, 2)[..., None], 1e-10)


def test_weights_come_and_go_unchanged(plain, dino):
    check_round_trip(SMALL, plain)
    check_round_trip(DINO, dino)
