import pytest
from against_torch import check_levels, check_round_trip, check_single_precision_and_gradients
from timm.models import convnext as timm_convnext

from benchmarks.torch_encoders import of_convnext
from segjax.encoders import convnext

WIDTHS, BLOCKS = (8, 12, 16, 20), (1, 2, 1, 1)
V1 = convnext.ConvNeXt(WIDTHS, BLOCKS)
V2 = convnext.ConvNeXt(WIDTHS, BLOCKS, response_norm=True, convolutional_mlp=True)


def timms(**options):
    return of_convnext(timm_convnext.ConvNeXt(dims=WIDTHS, depths=BLOCKS, **options))


@pytest.fixture(scope="module")
def first():
    return timms()


@pytest.fixture(scope="module")
def second():
    return timms(use_grn=True, ls_init_value=None, conv_mlp=True)


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_timms(first, size):
    check_levels(V1, first, size)


def test_single_precision_and_gradients_are_timms(second):
    check_single_precision_and_gradients(V2, second, (64, 64))


@pytest.mark.parametrize("output_stride", [8, 16])
def test_stages_dilate_as_timms_do(output_stride):
    reference = timms(output_stride=output_stride)
    check_levels(V1.clone(output_stride=output_stride), reference, (64, 96))


def test_weights_come_and_go_unchanged(first, second):
    check_round_trip(V1, first)
    check_round_trip(V2, second)
