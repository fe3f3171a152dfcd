from functools import partial

import pytest
from against_torch import Reference, check_levels, check_round_trip, check_single_precision_and_gradients, randomized
from timm.models import convnext as timm_convnext
from torch.nn import functional as F

from segjax.encoders import convnext

WIDTHS, BLOCKS = (8, 12, 16, 20), (1, 2, 1, 1)
V1 = convnext.ConvNeXt(WIDTHS, BLOCKS)
V2 = convnext.ConvNeXt(WIDTHS, BLOCKS, response_norm=True, convolutional_mlp=True)


def padded(multiple, _, inputs):
    (x,) = inputs
    return F.pad(x, (0, -x.shape[3] % multiple, 0, -x.shape[2] % multiple))


def timms(**options):
    """Where it would lose rows and columns, it pads as we do."""
    module = randomized(timm_convnext.ConvNeXt(dims=WIDTHS, depths=BLOCKS, **options))
    module.stem[0].register_forward_pre_hook(partial(padded, 4))
    for stage in module.stages[1:]:
        if stage.downsample[1].stride == (2, 2):
            stage.downsample[1].register_forward_pre_hook(partial(padded, 2))
    return Reference(module, partial(module.forward_intermediates, intermediates_only=True), convnext.TORCH_UNUSED)


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
