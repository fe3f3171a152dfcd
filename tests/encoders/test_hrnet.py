import pytest
from against_torch import check_levels, check_round_trip, check_single_precision_and_gradients
from timm.models import hrnet as timm_hrnet

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
def reference():
    stages = {"stage1": stage(1, "BOTTLENECK", 64), "stage2": stage(2), "stage3": stage(3), "stage4": stage(4)}
    return of_hrnet(timm_hrnet.HighResolutionNet({"stem_width": 64, **stages}, head=""))


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_timms_whose_branches_are_cropped(reference, size):
    check_levels(SMALL, reference, size)


def test_single_precision_and_gradients_are_timms(reference):
    check_single_precision_and_gradients(SMALL, reference, (64, 64))


def test_weights_come_and_go_unchanged(reference):
    check_round_trip(SMALL, reference)
