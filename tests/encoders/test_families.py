"""What the families with fields of their own owe, on shrunken members: any size, any channels, precision, remat."""

from functools import cache, partial

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from encoder_parts import check_fewer, check_parts, check_refusals

from benchmarks.torch_zoo import timm
from segjax.encoders import BY_NAME, convnext, densenet, hrnet, regnet, swin_v2, vit
from segjax.encoders.convnext import ConvNeXt
from segjax.encoders.densenet import DenseNet
from segjax.encoders.hrnet import HRNet
from segjax.encoders.mit import MixTransformer
from segjax.encoders.regnet import RegNetY
from segjax.encoders.swin_v2 import SwinV2
from segjax.encoders.vit import VisionTransformer
from segjax.weights.convert import from_torch

FAMILIES = {
    "mit": (MixTransformer((8, 10, 20, 16), (1, 1, 1, 1)), (4, 8, 16, 32)),
    "convnext": (ConvNeXt((4, 6, 8, 10), (1, 1, 1, 1)), (4, 8, 16, 32)),
    "convnextv2": (ConvNeXt((4, 6, 8, 10), (1, 1, 1, 1), response_norm=True), (4, 8, 16, 32)),
    "vit": (VisionTransformer(8, 2, 4, registers=2), (16, 16, 16, 16)),
    "swin_v2": (SwinV2(4, (1, 2, 2, 4), (2, 1, 1, 1)), (4, 8, 16, 32)),
    "regnet": (RegNetY((8, 16, 24, 32), (1, 1, 1, 1), 8), (2, 4, 8, 16, 32)),
    "densenet": (DenseNet(4, (1, 1, 1, 1)), (2, 4, 8, 16, 32)),
    "hrnet": (HRNet(2, (1, 1, 1), blocks=1), (2, 4, 8, 16, 32)),
}
KEY = jax.random.key(0)


def having(*fields):
    """The families that have these fields: HRNet's levels all come from its last stage, DenseNet drops no branches."""
    which = {name: case for name, case in FAMILIES.items() if all(hasattr(case[0], field) for field in fields)}
    assert which
    return pytest.mark.parametrize(("encoder", "strides"), which.values(), ids=which)


families = having("dtype", "remat")


@cache
def seen(encoder, size=(33, 47), channels=5):
    """Levels and variables, as shapes."""
    image = jax.ShapeDtypeStruct((2, *size, channels), jnp.float32)
    return jax.eval_shape(partial(encoder.init_with_output, train=False), KEY, image)


@families
@pytest.mark.parametrize("size", [(1, 1), (33, 47)])
def test_each_level_has_its_stride_whatever_the_image(encoder, strides, size):
    """Whole cells are met beside timm."""
    levels, variables = seen(encoder, size)
    assert tuple(level.stride for level in levels) == strides
    check_parts(encoder, variables)
    for level in levels:
        assert level.features.shape[:3] == (2, *(-(-length // level.stride) for length in size))
        assert level.width == level.features.shape[-1] > 0


@families
def test_levels_that_it_lacks_and_a_single_image_are_refused(encoder, strides):
    check_refusals(encoder, encoder.blocks if isinstance(encoder, VisionTransformer) else len(strides))


@families
def test_no_images_have_levels(encoder, strides):
    image = jax.ShapeDtypeStruct((0, 33, 47, 5), jnp.float32)
    levels = jax.eval_shape(partial(encoder.apply, train=False), seen(encoder)[1], image)
    assert [level.features.shape for level in levels] == [(0, *one.features.shape[1:]) for one in seen(encoder)[0]]


@families
def test_remat_computes_again_and_changes_no_parameter_and_sixteen_bits_are_not_kept(encoder, strides):
    image = jax.ShapeDtypeStruct((2, 33, 47, 5), jnp.float32)
    found = []
    for each, does in ((encoder, False), (encoder.clone(remat=True, dtype=jnp.bfloat16), True)):
        run = jax.make_jaxpr(partial(each.init_with_output, train=False), return_shape=True)
        program, (levels, variables) = run(KEY, image)
        assert any(remat in str(program) for remat in ("remat", "checkpoint")) == does
        assert {level.features.dtype for level in levels} == {jnp.dtype(jnp.bfloat16 if does else jnp.float32)}
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
        found.append((jax.tree.structure(levels), jax.tree.structure(variables)))
    assert found[0] == found[1]


@having("depth")
def test_fewer_levels_are_the_first_ones_and_need_fewer_parameters(encoder, strides):
    fewer = encoder.clone(depth=2)
    levels, variables = seen(fewer)
    check_parts(fewer, variables)
    check_fewer(fewer, variables, seen(encoder)[1])
    assert tuple(level.stride for level in levels) == strides[:2]
    if len(set(strides)) > 1:
        assert len(jax.tree.leaves(variables)) < len(jax.tree.leaves(seen(encoder)[1]))


@having("output_stride")
@pytest.mark.parametrize("output_stride", [8, 16])
def test_no_level_is_coarser_than_the_output_stride_and_parameters_stay(encoder, strides, output_stride):
    levels, variables = seen(encoder.clone(output_stride=output_stride), channels=13)
    assert tuple(level.stride for level in levels) == tuple(min(stride, output_stride) for stride in strides)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, seen(encoder, channels=13)[1])


@having("drop_path")
def test_branches_are_dropped_in_training_alone(encoder, strides):
    dropping = encoder.clone(drop_path=0.5)
    _, variables = seen(dropping)
    image = jax.ShapeDtypeStruct((2, 33, 47, 5), jnp.float32)
    run = partial(dropping.apply, mutable=["batch_stats"])
    jax.eval_shape(partial(run, train=True, rngs={"dropout": KEY}), variables, image)
    with pytest.raises(flax.errors.InvalidRngError):
        jax.eval_shape(partial(run, train=True), variables, image)


@pytest.mark.parametrize(
    ("name", "timms", "family"),
    [
        ("convnext_tiny", "convnext_tiny", convnext),
        ("convnextv2_atto", "convnextv2_atto", convnext),
        ("vit_tiny", "vit_tiny_patch16_224", vit),
        ("dinov2_small", "vit_small_patch14_dinov2", vit),
        ("dinov2_small_reg4", "vit_small_patch14_reg4_dinov2", vit),
        ("swinv2_tiny", "swinv2_tiny_window8_256", swin_v2),
        ("regnety_002", "regnety_002", regnet),
        ("densenet121", "densenet121", densenet),
        ("hrnet_w18", "hrnet_w18", hrnet),
    ],
)
def test_members_take_all_that_timms_files_hold(name, timms, family):
    with torch.device("meta"):
        module = timm.create_model(timms)
    # Zeros of all these shapes take no memory.
    state = {key: np.broadcast_to(np.float32(0), tuple(each.shape)) for key, each in module.state_dict().items()}
    _, variables = seen(BY_NAME[name](), (64, 64), channels=3)
    taken = from_torch(state, variables, unused=family.TORCH_UNUSED)
    assert jax.tree.structure(taken) == jax.tree.structure(variables)


@pytest.mark.parametrize("name", ["convnextv2", "swin_v2"])
def test_gradients_are_finite_where_norms_are_zero(name):
    """An image of zeros, without biases: nothing has a length to divide by."""
    encoder = FAMILIES[name][0].clone(depth=1)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), seen(encoder)[1])

    def total(params, image):
        return sum(level.features.sum() for level in encoder.apply(params, image, train=False))  # type: ignore[union-attr]

    image = np.zeros((1, 8, 8, 5), np.float32)
    gradients = jax.jit(jax.grad(total))(zeros, image)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
