import pytest
from against_torch import check_levels, check_round_trip, check_single_precision_and_gradients
from timm.models import regnet as timm_regnet

from benchmarks.beside_torch import Reference
from benchmarks.torch_encoders import of_regnet
from segjax.encoders import regnet

SMALL = regnet.RegNetY((8, 16, 32, 64), (1, 1, 2, 1), 8)


def timms(output_stride=32) -> Reference:
    members = timm_regnet.RegNetCfg(depth=5, w0=8, wa=10, wm=2.0, group_size=8, se_ratio=0.25)
    return of_regnet(timm_regnet.RegNet(members, output_stride=output_stride))


@pytest.fixture(scope="module")
def reference():
    return timms()


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_timms(reference, size):
    check_levels(SMALL, reference, size)


def test_single_precision_and_gradients_are_timms(reference):
    check_single_precision_and_gradients(SMALL, reference, (64, 64))


@pytest.mark.parametrize("output_stride", [8, 16])
def test_stages_dilate_as_timms_do(output_stride):
    check_levels(SMALL.clone(output_stride=output_stride), timms(output_stride), (64, 96))


def test_weights_come_and_go_unchanged(reference):
    check_round_trip(SMALL, reference)
