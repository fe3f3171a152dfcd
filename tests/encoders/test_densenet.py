from functools import partial

import numpy as np
import pytest
import torch
from against_torch import check_levels, check_round_trip, check_single_precision_and_gradients
from timm.models import densenet as timm_densenet
from torch.nn import functional as F

from benchmarks.beside_torch import Pairing, jit, noise
from benchmarks.torch_encoders import of_densenet
from segjax.encoders import densenet

SMALL = densenet.DenseNet(4, (2, 1, 1, 2))


@pytest.fixture(scope="module")
def reference():
    return of_densenet(timm_densenet.DenseNet(4, (2, 1, 1, 2)))


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_timms_whose_pooling_rounds_up(reference, size):
    check_levels(SMALL, reference, size)


def test_single_precision_and_gradients_are_timms(reference):
    check_single_precision_and_gradients(SMALL, reference, (64, 64))


def test_indices_are_those_of_the_pooling_in_the_stem(reference):
    encoder = SMALL.clone(depth=2)
    variables = Pairing(SMALL, reference).variables
    stem, *rest = jit(partial(encoder.apply, train=False))(variables, noise((33, 40)))
    x = torch.from_numpy(np.array(stem.features)).permute(0, 3, 1, 2)
    _, indices = F.max_pool2d(x, 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(stem.indices.flat(), indices.permute(0, 2, 3, 1))
    assert [level.indices for level in rest] == [None]


def test_weights_come_and_go_unchanged(reference):
    check_round_trip(SMALL, reference)
