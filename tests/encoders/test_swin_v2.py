import pytest
from against_torch import check_both_precisions, check_round_trip
from timm.models.swin_transformer_v2 import SwinTransformerV2

from benchmarks.beside_torch import Pairing
from benchmarks.torch_encoders import of_swin_v2
from segjax.encoders import swin_v2

SMALL = swin_v2.SwinV2(8, (1, 2), (2, 2), window=4, trained_size=32, depth=2)


@pytest.fixture(scope="module")
def pairing():
    module = SwinTransformerV2(
        img_size=32,
        embed_dim=8,
        depths=(2, 2),
        num_heads=(1, 2),
        window_size=4,
        pretrained_window_sizes=(0, 0),
        dynamic_img_size=True,
    )
    return Pairing(SMALL, of_swin_v2(module))


def test_levels_and_gradients_are_timms(pairing):
    check_both_precisions(pairing, (96, 128), (65, 97))


def test_weights_come_and_go_unchanged(pairing):
    check_round_trip(pairing)
