"""Nearest-neighbour upsampling and the convolution after it as one step, beside the two."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strided import Strided

from segjax.decoders import UNetDecoder, UNetPlusPlusDecoder, unet, unetplusplus
from segjax.layers import ConvBlock, ScSE
from segjax.level import Level
from segjax.models import Segmenter
from segjax.upsampling import Bilinear, Nearest

IMAGE = jax.random.normal(jax.random.key(0), (2, 16, 24, 3))
UP_FIRST = partial(UNetDecoder, upsample=Nearest, up_first=True, narrowing=False)
DECODERS = {
    "unet": UP_FIRST,
    "no_skips": partial(UP_FIRST, skips=False),
    "unetplusplus": UNetPlusPlusDecoder,
    "remat": partial(UP_FIRST, block=partial(ConvBlock, remat=True, norm=None)),
}


def run(decoder):
    model = Segmenter(3, Strided((2, 4, 8)), decoder())
    variables = jax.jit(partial(model.init, train=False))(jax.random.key(1), IMAGE)

    def total(variables, image):
        logits: Any = model.apply(variables, image, train=False)
        return jnp.sin(logits).sum()

    return variables, *jax.jit(jax.value_and_grad(total, (0, 1)))(variables, IMAGE)


@pytest.mark.parametrize("decoder", DECODERS)
def test_it_is_the_two_steps(decoder, monkeypatch):
    asked = []

    def never(*about):
        asked.append(about)
        return False

    variables, *values = run(DECODERS[decoder])
    for module in (unet, unetplusplus):
        monkeypatch.setattr(module, "in_one_step", never)
    same, *expected = run(DECODERS[decoder])
    assert asked
    jax.tree.map(np.testing.assert_array_equal, variables, same)
    for found, value in zip(jax.tree.leaves(values), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=2e-5 * max(1.0, float(abs(value).max())))


def level(rows, columns, channels):
    return Level(jnp.zeros((1, rows, columns, channels)), (rows, columns), stride=1)


@pytest.mark.parametrize(
    ("up", "block", "x", "to", "expected"),
    [
        (Nearest(), ConvBlock((4,)), level(3, 4, 8), level(6, 8, 2), True),
        (Nearest(features=8), ConvBlock((4,), padding=1), level(3, 4, 8), level(6, 8, 2), True),
        (Nearest(), ConvBlock((4,)), level(3, 4, 8), level(5, 8, 2), False),  # which is cut off
        (Nearest(features=4), ConvBlock((4,)), level(3, 4, 8), level(6, 8, 2), False),  # a projection is between them
        (Nearest(factor=4), ConvBlock((4,)), level(3, 4, 8), level(12, 16, 2), False),
        (Nearest(dtype=jnp.bfloat16), ConvBlock((4,)), level(3, 4, 8), level(6, 8, 2), False),
        (Nearest(), ConvBlock((4,), dtype=jnp.bfloat16), level(3, 4, 8), level(6, 8, 2), False),
        (Nearest(), ConvBlock((4,), window=1), level(3, 4, 8), level(6, 8, 2), False),
        (Nearest(), ConvBlock((4,), padding="VALID"), level(3, 4, 8), level(6, 8, 2), False),
        (Nearest(), ConvBlock((4,), dilation=2), level(3, 4, 8), level(6, 8, 2), False),
        (Nearest(), ConvBlock(()), level(3, 4, 8), level(6, 8, 2), False),
        (Nearest(), ScSE(), level(3, 4, 8), level(6, 8, 2), False),
        (Bilinear(), ConvBlock((4,)), level(3, 4, 8), level(6, 8, 2), False),
    ],
)
def test_where_it_can_be(up, block, x, to, expected):
    assert unet.in_one_step(up, block, x, to) is expected


@pytest.mark.parametrize("otherwise", [{"attention": ScSE}, {"up_first": False}])
def test_what_is_attended_or_comes_second_is_joined_first(otherwise, monkeypatch):
    monkeypatch.setattr(unet, "in_one_step", lambda *about: pytest.fail("asked"))
    model = Segmenter(3, Strided((2, 4, 8)), UP_FIRST(finest_stride=2, **otherwise))
    assert jax.eval_shape(partial(model.init, train=False), jax.random.key(0), IMAGE)
