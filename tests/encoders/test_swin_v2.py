import pytest
from against_torch import check_levels, check_round_trip, check_single_precision_and_gradients
from timm.models.swin_transformer_v2 import SwinTransformerV2

from benchmarks.torch_encoders import of_swin_v2
from segjax.encoders import swin_v2

SMALL = swin_v2.SwinV2(8, (1, 2), (2, 2), window=4, trained_size=32)


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
    return of_swin_v2(module)


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_timms_at_every_size(reference, size):
    check_levels(SMALL, reference, size)


def test_single_precision_and_gradients_are_timms(reference):
    check_single_precision_and_gradients(SMALL, reference, (48, 32))


def test_weights_come_and_go_unchanged(reference):
    check_round_trip(SMALL, reference)
