from functools import partial

import pytest
import torch
from against_torch import check_both_precisions, check_round_trip
from segmentation_models_pytorch.encoders.mix_transformer import LayerNorm, MixVisionTransformer

from benchmarks.beside_torch import Pairing
from benchmarks.torch_encoders import of_mit
from segjax.encoders import mit

SMALL = mit.MixTransformer((8, 10, 20, 16), (1, 2, 1, 1))


@pytest.fixture(scope="module")
def pairing():
    module = MixVisionTransformer(
        embed_dims=[8, 10, 20, 16],
        num_heads=[1, 2, 5, 8],
        depths=[1, 2, 1, 1],
        qkv_bias=True,
        norm_layer=partial(LayerNorm, eps=1e-6),  # type: ignore[arg-type]
    )
    return Pairing(SMALL, of_mit(module))


def test_levels_and_gradients_are_those_of_the_published_network(pairing):
    check_both_precisions(pairing, (96, 128), (65, 97))


def test_weights_come_and_go_unchanged_without_a_classifier(pairing):
    check_round_trip(pairing)
    with_classifier = Pairing(pairing.encoder, pairing.reference)
    pairing.reference.module.head = torch.nn.Linear(2, 2)
    check_round_trip(with_classifier)
    del pairing.reference.module.head
