from functools import partial

import pytest
import torch
from against_torch import Reference, check_levels, check_round_trip, check_single_precision_and_gradients, randomized
from timm.models import hrnet as timm_hrnet

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


def timms() -> Reference:
    stages = {"stage1": stage(1, "BOTTLENECK", 64), "stage2": stage(2), "stage3": stage(3), "stage4": stage(4)}
    module = randomized(timm_hrnet.HighResolutionNet({"stem_width": 64, **stages}, head=""))
    levels = partial(module.forward_intermediates, intermediates_only=True)
    return Reference(module, levels, hrnet.TORCH_UNUSED)


@pytest.fixture(scope="module")
def reference():
    return timms()


class Cropped(torch.nn.Upsample):
    """Repeats, then leaves out the rows and columns that a finer branch of that many has not."""

    def __init__(self, scale_factor, size):
        super().__init__(scale_factor=scale_factor)
        self.rows, self.columns = size

    def forward(self, input):
        return super().forward(input)[:, :, : self.rows, : self.columns]


def test_levels_are_timms(reference):
    check_levels(SMALL, reference, (96, 128))


def test_levels_are_timms_where_branches_are_cropped():
    cropping = timms()
    for name in ("stage2", "stage3", "stage4"):
        for i, row in enumerate(getattr(cropping.module, name)[0].fuse_layers):
            for j, each in enumerate(row):
                if j > i:
                    each[2] = Cropped(2 ** (j - i), (-(-65 // (4 * 2**i)), -(-97 // (4 * 2**i))))
    check_levels(SMALL, cropping, (65, 97))


def test_single_precision_and_gradients_are_timms(reference):
    check_single_precision_and_gradients(SMALL, reference, (64, 64))


def test_weights_come_and_go_unchanged(reference):
    check_round_trip(SMALL, reference)
