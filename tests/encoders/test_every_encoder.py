"""What every encoder owes, whichever its family; nothing is computed."""

import dataclasses
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
import torch
from encoder_parts import check_fewer, check_parts, check_refusals

from benchmarks.encoder_fields import FIELDS, WITHOUT
from benchmarks.torch_zoo import timm
from segjax import encoders
from segjax.decoders import UNetDecoder
from segjax.errors import ExperimentError
from segjax.layers import DropPath
from segjax.models import Segmenter
from segjax.upsampling import Bilinear

ONE_OF_EACH = ("resnet18", "resnet50d", "mobilenet_v2", "efficientnet_b0", "mobilenet_v3_small", "vgg11_bn")


def shapes(name: str, image: tuple[int, ...], train: bool = False, **fields: Any):
    """Levels, and variables with what training leaves in them."""
    encoder: Any = encoders.named(name, **fields)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    return jax.eval_shape(
        partial(encoder.init_with_output, train=train), keys, jax.ShapeDtypeStruct(image, jnp.float32)
    )


@pytest.mark.parametrize("name", encoders.BY_NAME)
def test_each_is_made_by_its_name(name: str):
    encoder: Any = encoders.named(name, dtype="bfloat16", remat=True)
    assert (encoder.dtype, encoder.remat) == ("bfloat16", True)
    assert encoders.named(encoder, dtype="float32") is encoder


def test_each_family_has_every_field_or_a_reason():
    for name in encoders.BY_NAME:
        encoder: Any = encoders.named(name)
        lacks = set(FIELDS) - {field.name for field in dataclasses.fields(encoder)}
        assert lacks == set(WITHOUT.get(type(encoder), {})), name


@pytest.mark.parametrize(
    ("name", "channels", "stride"), [("resnet18", 13, 8), ("mobilenet_v2", 1, 16), ("efficientnet_lite0", 3, 32)]
)
def test_branches_are_left_out_as_often_as_timms(name: str, channels: int, stride: int):
    rates = []

    def note(call: Any, arguments: Any, named: Any, context: Any) -> Any:
        if isinstance(context.module, DropPath):
            rates.append(context.module.rate)
        return call(*arguments, **named)

    with nn.intercept_methods(note):
        levels, _ = shapes(name, (2, 65, 97, channels), train=True, drop_path=0.2, output_stride=stride)
    assert [level.stride for level in levels] == [min(stride, whole) for whole in (2, 4, 8, 16, 32)]
    with torch.device("meta"):
        theirs = timm.create_model({"mobilenet_v2": "mobilenetv2_100"}.get(name, name), drop_path_rate=0.2)
    blocks = [block for block in theirs.modules() if hasattr(block, "drop_path") and getattr(block, "has_skip", True)]
    assert rates == pytest.approx([getattr(block.drop_path, "drop_prob", 0.0) for block in blocks])


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_levels_are_finest_first_in_the_dtype_and_fit_any_image(name: str):
    found = []
    for image, remat in (((2, 33, 47, 3), True), ((1, 1, 1, 3), False)):
        levels, variables = shapes(name, image, train=True, dtype="bfloat16", remat=remat)
        strides = [level.stride for level in levels]
        assert strides == sorted(strides)
        for level in levels:
            assert level.size == tuple(-(-length // level.stride) for length in image[1:3])
            assert level.features.shape[:3] == (image[0], *level.size)
            assert level.features.dtype == jnp.bfloat16
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
        check_parts(encoders.named(name), variables)
        found.append((strides, jax.tree.map(jnp.shape, variables)))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_levels_that_it_lacks_and_a_single_image_are_refused(name: str):
    check_refusals(encoders.named(name), 5)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_every_variable_of_fewer_levels_belongs_to_one_of_their_stages(name: str):
    fewer, (_, variables) = encoders.named(name, depth=2), shapes(name, (1, 32, 32, 3), depth=2)
    check_parts(fewer, variables)
    check_fewer(fewer, variables, shapes(name, (1, 32, 32, 3))[1])


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_decoder_takes_the_levels_and_gradients_pass_through_stages_computed_again(name: str):
    """Of three levels: below them are more of the same blocks."""
    model = Segmenter(3, encoders.named(name, remat=True, depth=3), UNetDecoder(upsample=Bilinear))
    image = jax.ShapeDtypeStruct((1, 33, 47, 3), jnp.float32)
    variables = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), image)

    def loss(params: Any, statistics: Any, image: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits, _ = model.apply(
            {"params": params, "batch_stats": statistics}, image, train=True, mutable=["batch_stats"]
        )
        return logits.sum(), logits

    gradients, logits = jax.eval_shape(
        jax.grad(loss, has_aux=True), variables["params"], variables["batch_stats"], image
    )
    assert logits.shape == (1, 33, 47, 3)
    assert jax.tree.map(jnp.shape, gradients) == jax.tree.map(jnp.shape, variables["params"])


@pytest.mark.parametrize(
    ("encoder", "shared"),
    [
        (encoders.VisionTransformer(32, 3, 4), "3 heads share 32 channels"),
        (encoders.SwinV2(32, (3, 2, 4, 8), (1, 1, 1, 1)), "3 heads share 32 channels"),
        (encoders.MixTransformer((8, 16, 24, 32), (1, 1, 1, 1)), "5 heads share 24 channels"),
    ],
    ids=["vit", "swin", "mit"],
)
def test_a_width_that_heads_do_not_divide_is_one_sentence(encoder: nn.Module, shared: str):
    with pytest.raises(ValueError, match=f"{shared}: give a width that is a multiple of {shared[0]}"):
        jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
    ("encoder", "levels"),
    [
        (encoders.ConvNeXt((8, 16), (1, 1, 1, 1)), 2),
        (encoders.MixTransformer((8, 16, 40, 64), (1, 1)), 2),
        (encoders.RegNetY((8, 8, 16), (1, 1, 1, 1), 8), 4),
        (encoders.SwinV2(32, (1, 2, 4, 8), (1, 1)), 2),
    ],
    ids=["convnext", "mit", "regnet", "swin"],
)
def test_lists_of_different_lengths_have_the_levels_of_the_shorter(encoder: nn.Module, levels: int):
    with pytest.raises(ValueError, match=f"depth is 1 to {levels} levels of this encoder"):
        jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))


@pytest.mark.parametrize(
    ("encoder", "sentence"),
    [
        (encoders.ConvNeXt((8, -16), (1, 1), depth=2), "widths is -16"),
        (encoders.DenseNet(1.5, (1,), depth=2), "growth is 1.5"),  # pyright: ignore[reportArgumentType]
        (encoders.efficientnet_b0(stem=0), "stem is 0"),
        (encoders.HRNet(0), "width is 0"),
        (encoders.MixTransformer((8, 16), (1, 0), depth=2), "blocks is 0"),
        (encoders.RegNetY((8, 8), (1, 1), 0, depth=2), "group_width is 0"),
        (encoders.ResNet((1, 1, 1, 1), groups=-1), "groups is -1"),
        (encoders.SwinV2(32, (1, 2), (1, 1), window=0, depth=2), "window is 0"),
        (encoders.SwinV2(32, (1, 2), (1, 1), trained_size=7, depth=2), "trained_size is 7; .* at least 8"),
        (encoders.VGG((1, 1, 0, 1, 1)), "convs is 0"),
        (encoders.VisionTransformer(32, 0, 4), "heads is 0"),
        (encoders.VisionTransformer(32, 2, 4, registers=-1), "registers is -1; .* at least 0"),
    ],
)
def test_a_number_that_makes_no_encoder_is_one_sentence(encoder: nn.Module, sentence: str):
    with pytest.raises(ExperimentError, match=rf"^{sentence}"):
        jax.eval_shape(partial(encoder.init, train=False), jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
