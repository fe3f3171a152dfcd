"""What every decoder owes, whatever the encoder and the upsampler."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strided import KINDS, Strided

from segjax import decoders
from segjax.encoders import ConvEncoder
from segjax.errors import ExperimentError
from segjax.layers import ConvBlock
from segjax.level import from_image, level_at
from segjax.models import Segmenter
from segjax.upsampling import BY_NAME

KEY = jax.random.key(0)
TO_THE_IMAGE = ("unet", "fcn", "segnet", "unetplusplus", "manet", "linknet", "dpt")
"""Which climb to places without features, the image's own among them, where nothing can be unpooled."""


def shapes(model, rows, columns, train=False):
    image = jax.ShapeDtypeStruct((2, rows, columns, 3), jnp.float32)
    keys = {"params": KEY, "dropout": KEY}
    logits, variables = jax.eval_shape(partial(model.init_with_output, train=train), keys, image)
    return logits, str(jax.tree.map(jnp.shape, variables["params"]))


GUIDED = ("fade", "sapa")
UPSAMPLERS = [BY_NAME[name] for name in BY_NAME if not name.startswith("max_unpool") and name not in GUIDED]


def its_own_or_another(decoder, kind):
    """The decoder's own upsampler on ResNet's levels, and one of all by turns on others, so that each kind meets all.

    Decoders call all of them alike, but for those that ask more of a level than its place.
    """
    turn = 3 * list(decoders.BY_NAME).index(decoder) + list(KINDS).index(kind)
    own = kind == "resnet" and decoder != "segnet"
    return {} if own else {"upsample": UPSAMPLERS[turn % len(UPSAMPLERS)]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoder", decoders.BY_NAME)
def test_any_encoder_and_upsampler_at_any_size(decoder, kind):
    made = decoders.named(decoder, block=partial(ConvBlock, dtype=jnp.bfloat16), **its_own_or_another(decoder, kind))
    model = Segmenter(5, Strided(KINDS[kind], jnp.bfloat16), made)
    small, params = shapes(model, 1, 1)
    odd, same = shapes(model, 33, 47, train=True)
    assert (small.shape, odd.shape) == ((2, 1, 1, 5), (2, 33, 47, 5))
    assert params == same  # no parameter depends on the image's size
    assert small.dtype == odd.dtype == jnp.float32


@pytest.mark.parametrize("decoder", decoders.BY_NAME)
def test_it_ends_at_its_finest_stride(decoder):
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)

    def ends_at(finest):
        made = decoders.named(decoder, upsample=BY_NAME["bilinear"], finest_stride=finest)

        def climbed(image):
            levels = from_image(Strided(KINDS["resnet"]).init_with_output(KEY, image, train=False)[0], image)
            return made.init_with_output(KEY, levels, train=False)[0]

        return jax.eval_shape(climbed, image)[0].stride

    assert [ends_at(finest) for finest in (2, 8)] == [2, 8]


@pytest.mark.parametrize("decoder", decoders.BY_NAME)
@pytest.mark.parametrize("kind", ["max_unpool_of_skip", "guided"])
def test_upsamplers_of_the_levels_features(kind, decoder):
    # By 2 between the levels, and by 4 to the image.
    guided = GUIDED[list(decoders.BY_NAME).index(decoder) % len(GUIDED)]
    made = decoders.named(decoder, upsample=BY_NAME[guided if kind == "guided" else kind])
    model = Segmenter(5, Strided((4, 8)), made)
    if decoder in TO_THE_IMAGE:
        with pytest.raises(ValueError, match=r"(neither indices nor features|has none): end the climb before it"):
            shapes(model, 33, 47)
    else:
        assert shapes(model, 33, 47, train=True)[0].shape == (2, 33, 47, 5)


@pytest.mark.parametrize("finest", [1, 32])
@pytest.mark.parametrize("decoder", decoders.BY_NAME)
def test_what_a_decoder_returns_is_its_own(decoder, finest):
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)
    encoder = ConvEncoder(((4,),) * 6)  # 1 to 32, so that from 32 there is nothing to climb to
    ends = 16 if (decoder, finest) == ("dpt", 32) else finest  # it climbs half a level further than it reads
    made = decoders.named(decoder, upsample=BY_NAME["bilinear"], finest_stride=ends)

    def climbed(image):
        levels = encoder.init_with_output(KEY, image, train=False)[0]
        tokens, indices = jnp.zeros((1, 1, 4)), levels[0].indices  # the deepest has none of its own to hand on
        levels = tuple(level.replace(tokens=tokens, indices=level.indices or indices) for level in levels)
        return made.init_with_output(KEY, levels, train=False)[0]

    found = jax.eval_shape(climbed, image)
    assert [level.stride for level in found] == sorted(level.stride for level in found)
    for level in found:
        assert level.features.shape[1:3] == level.size == (-(-33 // level.stride), -(-47 // level.stride))
        assert level.indices is None
        assert level.tokens is None


@pytest.mark.parametrize("decoder", decoders.BY_NAME)
def test_a_stride_that_is_none_is_refused(decoder):
    with pytest.raises(ExperimentError, match=r"^finest_stride is 0; it must be a whole number, at least 1"):
        shapes(Segmenter(5, Strided(KINDS["resnet"], jnp.float32), decoders.named(decoder, finest_stride=0)), 33, 47)


@pytest.mark.parametrize("decoder", decoders.BY_NAME)
def test_levels_in_another_order_are_refused(decoder):
    """Some decoders divided by zero, and others read the finest level for the deepest."""
    image = jnp.zeros((1, 64, 64, 3))
    levels = tuple(level_at(image, stride, jnp.zeros((1, 64 // stride, 64 // stride, 4))) for stride in (32, 16, 8))
    with pytest.raises(ValueError, match=r"come finest first, but got strides \[32, 16, 8\]: give them in that order"):
        jax.eval_shape(lambda: decoders.named(decoder).init_with_output(KEY, levels, train=False))


def test_a_decoder_without_a_level_to_read_says_so():
    with pytest.raises(ValueError, match=r"levels have strides \[2, 4\], and none is 8 or more: take another"):
        shapes(Segmenter(5, Strided((2, 4)), decoders.named("pspnet")), 33, 47)


def test_an_unknown_name_is_offered_the_nearest():
    with pytest.raises(ExperimentError, match="deeplab is no decoder; name one, such as deeplabv3"):
        decoders.named("deeplab")


def test_attention_between_large_features_of_16_bits_is_that_of_32():
    """Products of what is large lie beyond float16, and what is left of them was NaN everywhere."""
    x = 150 * jax.random.normal(KEY, (1, 4, 5, 32))
    attention = decoders.PositionAttention()
    variables = attention.init(KEY, x)
    wide, narrow = (np.asarray(attention.apply(variables, each), np.float32) for each in (x, x.astype(jnp.float16)))
    assert np.abs(narrow - wide).max() < 0.01 * np.abs(wide).max()
