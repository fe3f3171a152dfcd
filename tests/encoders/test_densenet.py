from functools import partial

import numpy as np
import pytest
import torch
from against_torch import check_both_precisions, check_round_trip
from timm.models import densenet as timm_densenet
from torch.nn import functional as F

from benchmarks.beside_torch import Pairing, jit, noise
from benchmarks.torch_encoders import of_densenet
from segjax.encoders import densenet

SMALL = densenet.DenseNet(4, (2, 1, 1, 2))


@pytest.fixture(scope="module")
def pairing():
    return Pairing(SMALL, of_densenet(timm_densenet.DenseNet(4, (2, 1, 1, 2))))


def test_levels_and_gradients_are_timms_whose_pooling_rounds_up(pairing):
    check_both_precisions(pairing, (96, 128), (65, 97))


def test_indices_are_those_of_the_pooling_in_the_stem(pairing):
    encoder = SMALL.clone(depth=2)
    stem, *rest = jit(partial(encoder.apply, train=False))(pairing.variables, noise((33, 40)))
    x = torch.from_numpy(np.array(stem.features)).permute(0, 3, 1, 2)
    _, indices = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(stem.indices.flat(), indices.permute(0, 2, 3, 1))
    assert [level.indices for level in rest] == [None]


def test_weights_come_and_go_unchanged(pairing):
    check_round_trip(pairing)
