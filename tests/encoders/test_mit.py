from functools import partial

import pytest
import torch
from against_torch import check_levels, check_round_trip, check_single_precision_and_gradients
from segmentation_models_pytorch.encoders.mix_transformer import LayerNorm, MixVisionTransformer

from benchmarks.torch_encoders import of_mit
from segjax.encoders import mit

SMALL = mit.MixTransformer((8, 10, 20, 16), (1, 2, 1, 1))


@pytest.fixture(scope="module")
def reference():
    module = MixVisionTransformer(
        embed_dims=[8, 10, 20, 16],
        num_heads=[1, 2, 5, 8],
        depths=[1, 2, 1, 1],
        qkv_bias=True,
        norm_layer=partial(LayerNorm, eps=1e-6),  # type: ignore[arg-type]
    )
    return of_mit(module)


@pytest.mark.parametrize("size", [(96, 128), (65, 97)])
def test_levels_are_those_of_the_published_network(reference, size):
    check_levels(SMALL, reference, size)


def test_single_precision_and_gradients_are_those_of_the_published_network(reference):
    check_single_precision_and_gradients(SMALL, reference, (64, 64))


def test_weights_come_and_go_unchanged_without_a_classifier(reference):
    check_round_trip(SMALL, reference)
    reference.module.head = torch.nn.Linear(2, 2)
    check_round_trip(SMALL, reference)
    del reference.module.head
