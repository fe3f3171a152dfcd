import pytest
from against_torch import check_both_precisions, check_levels, check_round_trip
from timm.models import convnext as timm_convnext

from benchmarks.beside_torch import Pairing
from benchmarks.torch_encoders import of_convnext
from segjax.encoders import convnext

WIDTHS, BLOCKS = (8, 12, 16, 20), (1, 2, 1, 1)
V1 = convnext.ConvNeXt(WIDTHS, BLOCKS)
V2 = convnext.ConvNeXt(WIDTHS, BLOCKS, response_norm=True, convolutional_mlp=True)


def beside_timms(ours, **options):
    return Pairing(ours, of_convnext(timm_convnext.ConvNeXt(dims=WIDTHS, depths=BLOCKS, **options)))


@pytest.fixture(scope="module")
def first():
    return beside_timms(V1)


@pytest.fixture(scope="module")
def second():
    return beside_timms(V2, use_grn=True, ls_init_value=None, conv_mlp=True)


def test_levels_are_timms(first):
    check_levels(first, (65, 97))


def test_levels_and_gradients_are_timms(second):
    check_both_precisions(second, (96, 128), (65, 97))


@pytest.mark.parametrize("output_stride", [8, 16])
def test_stages_dilate_as_timms_do(output_stride):
    check_levels(beside_timms(V1.clone(output_stride=output_stride), output_stride=output_stride), (64, 96))


def test_weights_come_and_go_unchanged(first, second):
    check_round_trip(first)
    check_round_trip(second)
