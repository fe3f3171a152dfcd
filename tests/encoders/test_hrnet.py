import pytest
from against_torch import check_both_precisions, check_round_trip
from timm.models import hrnet as timm_hrnet

from benchmarks.beside_torch import Pairing
from benchmarks.torch_encoders import of_hrnet
from segjax.encoders import hrnet

SMALL = hrnet.HRNet(4, modules=(1, 1, 1), blocks=1)


def stage(branches, block="BASIC", width=4):
    return {
        "num_modules": 1,
        "num_branches": branches,
        "block_type": block,
        "num_blocks": (1,) * branches,
        "num_channels": tuple(width * 2**i for i in range(branches)),
        "fuse_method": "SUM",
    }


@pytest.fixture(scope="module")
def pairing():
    stages = {"stage1": stage(1, "BOTTLENECK", 64), "stage2": stage(2), "stage3": stage(3), "stage4": stage(4)}
    return Pairing(SMALL, of_hrnet(timm_hrnet.HighResolutionNet({"stem_width": 64, **stages}, head="")))


def test_levels_and_gradients_are_timms_whose_branches_are_cropped(pairing):
    check_both_precisions(pairing, (96, 128), (65, 97))


def test_weights_come_and_go_unchanged(pairing):
    check_round_trip(pairing)
