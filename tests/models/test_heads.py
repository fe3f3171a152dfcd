"""Heads beside that of the masks, with every decoder."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strided import KINDS, Strided

from segjax import decoders
from segjax.level import Level
from segjax.models import AuxiliaryHead, DeeplySupervised, ImageHead, OfScores, Segmented, Segmenter

KEYS = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
IMAGE = jax.ShapeDtypeStruct((2, 33, 47, 3), jnp.float32)


def outputs(model, *, train):
    variables = jax.eval_shape(partial(model.init, train=False), KEYS, IMAGE)
    run = partial(model.apply, train=train, rngs=KEYS, mutable=["batch_stats"])
    return jax.eval_shape(run, variables, IMAGE)[0]


@pytest.mark.parametrize("decoder", ["unet", "pspnet", "deeplabv3plus", "pan"])
def test_every_head_gives_what_it_says(decoder: str):
    made = decoders.named(decoder)
    model = Segmenter(5, Strided(KINDS["dilated"]), made, auxiliary=AuxiliaryHead(5), image_head=ImageHead(7))
    (logits, beside), classes = outputs(model, train=True)
    assert logits.shape == beside.shape == (2, 33, 47, 5)
    assert classes.shape == (2, 7)
    found = outputs(model, train=False)
    assert isinstance(found, Segmented)
    assert found.logits.shape == (2, 33, 47, 5)
    deep = DeeplySupervised(5, Strided(KINDS["dilated"]), made)
    assert outputs(deep, train=False).shape == (2, 33, 47, 5)
    first, *others = outputs(deep, train=True)
    assert first.shape == (2, 33, 47, 5)
    assert all(logits.shape[1:3] < (33, 47) for logits in others)


SUPERVISED = {
    "unet": (1, 2, 4, 8, 16),
    "unetplusplus": (1, 2, 4, 8, 16),
    "manet": (1, 2, 4, 8, 16),
    "linknet": (1, 2, 4, 8, 16),
    "fpn": (4, 8, 16, 32),
    "pspnet": (8,),
    "deeplabv3": (8, 16, 32),
    "deeplabv3plus": (4, 32),
    "pan": (4, 8, 16, 32),
    "upernet": (4, 8, 16, 32),
    "segformer": (4,),
    "dpt": (2, 4, 8, 16),
}


@pytest.mark.parametrize(("decoder", "strides"), SUPERVISED.items(), ids=SUPERVISED)
def test_every_level_that_a_decoder_makes_is_supervised(decoder: str, strides: tuple[int, ...]):
    model = DeeplySupervised(5, Strided((2, 4, 8, 16, 32)), decoders.named(decoder))
    first, *others = outputs(model, train=True)
    assert first.shape == (2, 33, 47, 5)
    assert [logits.shape[1:3] for logits in others] == [(-(-33 // stride), -(-47 // stride)) for stride in strides[1:]]


@pytest.mark.parametrize("stride", [2, 4])
def test_logits_end_at_the_stride_that_is_asked_for(stride: int):
    found = outputs(Segmenter(5, Strided((4, 8)), decoders.named("fpn"), stride=stride), train=False)
    assert found.shape == (2, -(-33 // stride), -(-47 // stride), 5)
    with pytest.raises(ValueError, match="The decoder ends at stride 4, from which none climbs to 8: set the stride"):
        outputs(Segmenter(5, Strided((4, 8)), decoders.named("fpn"), stride=8), train=False)


@pytest.mark.parametrize(("pooling", "expected"), [("avg", 2.5), ("max", 4.0)])
def test_the_image_head_pools_each_channel(pooling, expected):
    x = jnp.arange(1.0, 5).reshape(1, 2, 2, 1)
    head = ImageHead(1, pooling, activation=jnp.negative)
    variables = {"params": {"logits": {"kernel": np.ones((1, 1)), "bias": np.ones(1)}}}
    assert np.asarray(head.apply(variables, (Level(x, (2, 2), 32),), train=False)) == -(expected + 1)


def test_an_auxiliary_head_on_a_level_that_is_not_there_says_so():
    levels = (Level(jnp.zeros((1, 2, 2, 1)), (2, 2), 1),)
    with pytest.raises(ValueError, match="reads level -2, and there are 1, the image's place among them"):
        AuxiliaryHead(2).init(jax.random.key(0), levels, train=False)


def test_an_auxiliary_head_on_a_mere_place_says_so():
    with pytest.raises(ValueError, match="Level 0 of the encoder has no features: let the auxiliary head read another"):
        outputs(Segmenter(5, Strided((4, 8)), decoders.named("fpn"), auxiliary=AuxiliaryHead(5, level=0)), train=True)


def test_scores_are_the_sigmoids_of_their_logits():
    class Scores(nn.Module):
        def __call__(self, image, *, train):
            return jnp.broadcast_to(jnp.array([0.0, 0.25, 1.0]), (*image.shape[:1], 2, 3, 3))

    logits: Any = OfScores(Scores()).apply({}, jnp.zeros((1, 4, 6, 3)), train=False)
    assert logits.shape == (1, 4, 6, 3)
    np.testing.assert_allclose(jax.nn.sigmoid(logits)[0, 1, 2], [0, 0.25, 1], atol=1e-5)
