from functools import partial

import jax
import jax.numpy as jnp
import pytest
from against_torch import check_both_precisions, check_levels, check_round_trip
from timm.models import regnet as timm_regnet

from benchmarks.beside_torch import Pairing
from benchmarks.torch_encoders import of_regnet
from segjax.encoders import regnet

SMALL = regnet.RegNetY((8, 16, 32, 64), (1, 1, 2, 1), 8)


def timms(output_stride=32) -> Pairing:
    members = timm_regnet.RegNetCfg(depth=5, w0=8, wa=10, wm=2.0, group_size=8, se_ratio=0.25)
    reference = of_regnet(timm_regnet.RegNet(members, output_stride=output_stride))
    return Pairing(SMALL.clone(output_stride=output_stride), reference)


@pytest.fixture(scope="module")
def pairing():
    return timms()


def test_levels_and_gradients_are_timms(pairing):
    check_both_precisions(pairing, (96, 128), (65, 97))


@pytest.mark.parametrize("output_stride", [8, 16])
def test_stages_dilate_as_timms_do(output_stride):
    check_levels(timms(output_stride), (64, 96))


def test_a_width_that_groups_do_not_divide_is_one_sentence():
    encoder = regnet.RegNetY((8, 20, 32, 64), (1, 1, 2, 1), 8)
    with pytest.raises(ValueError, match=r"groups of 8 channels do not divide 20: give another width\."):
        jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


def test_weights_come_and_go_unchanged(pairing):
    check_round_trip(pairing)
