import pytest
import torch
from against_torch import Reference, check_levels, check_round_trip, check_single_precision_and_gradients, randomized
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch.nn import functional as F

from segjax.encoders import swin_v2

SMALL = swin_v2.SwinV2(8, (1, 2), (2, 2), window=4, trained_size=32)


def logarithmic(side):
    """timm makes its table in single precision."""
    along = 8 * torch.arange(1 - side, side, dtype=torch.float64) / max(side - 1, 1)
    along = along.sign() * torch.log2(along.abs() + 1) / 3
    return torch.stack(torch.meshgrid(along, along, indexing="ij"), dim=-1)[None]


@pytest.fixture(scope="module")
def reference():
    module = SwinTransformerV2(
        img_size=32,
        embed_dim=8,
        depths=(2, 2),
        num_heads=(1, 2),
        window_size=4,
        pretrained_window_sizes=(0, 0),
        dynamic_img_size=True,
    )
    module = randomized(module)
    for stage in module.layers:
        for block in stage.blocks:
            block.attn.relative_coords_table = logarithmic(block.attn.window_size[0])

    def levels(x):
        x = F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4))
        return module.forward_intermediates(x, intermediates_only=True)

    return Reference(module, levels, swin_v2.TORCH_UNUSED)


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_timms_at_every_size(reference, size):
    check_levels(SMALL, reference, size)


def test_single_precision_and_gradients_are_timms(reference):
    check_single_precision_and_gradients(SMALL, reference, (48, 32))


def test_weights_come_and_go_unchanged(reference):
    check_round_trip(SMALL, reference)
