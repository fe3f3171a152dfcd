"""The climb over levels of every kind: strided by 2 and by 4, dilated, and places without features."""

from functools import partial
from itertools import cycle

import jax
import jax.numpy as jnp
import pytest
from strided import KINDS, Strided

from segjax import encoders
from segjax.decoders import UNetDecoder
from segjax.level import from_image
from segjax.models import Segmenter
from segjax.upsampling import BY_NAME, Bilinear, MaxUnpool

KEY = jax.random.key(0)


def shapes(model, rows, columns):
    image = jax.ShapeDtypeStruct((2, rows, columns, 3), jnp.float32)
    logits, variables = jax.eval_shape(partial(model.init_with_output, train=False), KEY, image)
    return logits.shape, variables["params"]


OF_FEATURES = [name for name in BY_NAME if not name.startswith("max_unpool")]
BY_TURNS = zip(OF_FEATURES, cycle(KINDS), strict=False)
"""The kinds of levels by turns: upsamplers of features alone are called alike, whichever the decoder and the kind."""


@pytest.mark.parametrize(("upsampler", "kind"), [*BY_TURNS, *(("max_unpool_of_skip", kind) for kind in KINDS)])
def test_any_encoder_with_any_upsampler_at_any_size(kind, upsampler):
    decoder = UNetDecoder(upsample=BY_NAME[upsampler], finest_stride=min(KINDS[kind]))
    model = Segmenter(5, Strided(KINDS[kind]), decoder)
    seen = set()
    for rows, columns in ((1, 1), (33, 47), (64, 96)):
        shape, params = shapes(model, rows, columns)
        assert shape == (2, rows, columns, 5)
        seen.add(str(jax.tree.map(jnp.shape, params)))
    assert len(seen) == 1  # no parameter depends on the image's size


def test_max_unpooling_where_nothing_was_pooled_names_the_level():
    model = Segmenter(5, Strided(KINDS["resnet"]), UNetDecoder(upsample=MaxUnpool))
    with pytest.raises(ValueError, match="below the level of stride 16 found its maxima, but its indices are None"):
        shapes(model, 64, 64)


def test_stages_mirror_the_levels_and_the_last_is_as_wide_as_what_comes():
    _, params = shapes(Segmenter(5, Strided(KINDS["resnet"]), UNetDecoder()), 64, 64)
    stages = {name: leaf["conv2"]["kernel"].shape[-1] for name, leaf in params["decoder"].items() if "stage" in name}
    assert stages == {"stage5": 20, "stage4": 12, "stage3": 8, "stage2": 6, "stage1": 6}
    # The image's own place has no features to join.
    assert params["decoder"]["stage1"]["conv1"]["kernel"].shape[2:] == (6, 6)
    assert params["decoder"]["stage2"]["conv1"]["kernel"].shape[2:] == (12, 6)


def test_narrow_levels_get_half_of_what_comes():
    """MobileNetV2's, of 16, 24, 32, 96 and 320 channels."""
    _, params = shapes(Segmenter(5, encoders.mobilenet_v2(), UNetDecoder()), 64, 64)
    stages = {name: leaf["conv2"]["kernel"].shape[-1] for name, leaf in params["decoder"].items() if "stage" in name}
    assert stages == {"stage5": 160, "stage4": 80, "stage3": 40, "stage2": 20, "stage1": 20}


@pytest.mark.parametrize(("finest", "strides"), [(1, [1, 2, 4, 8, 16]), (4, [4, 8, 16]), (32, [32])])
def test_the_climb_ends_at_the_finest_stride(finest, strides):
    decoder = UNetDecoder(upsample=Bilinear, finest_stride=finest)
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)

    def climbed(decoder, image):
        levels = from_image(Strided(KINDS["resnet"]).init_with_output(KEY, image, train=False)[0], image)
        return decoder.init_with_output(KEY, levels, train=False)[0]

    found = jax.eval_shape(partial(climbed, decoder), image)
    assert [level.stride for level in found] == strides
    for level in found:
        assert level.features is not None
        assert level.features.shape[1:3] == level.size == (-(-33 // level.stride), -(-47 // level.stride))
    with pytest.raises(ValueError, match=f"those down to stride {finest}: give one stage per level but the deepest"):
        jax.eval_shape(partial(climbed, decoder.clone(stages=((8,),) * 7)), image)
