from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
import torch

from benchmarks.torch_zoo import timm, torchvision
from segjax import encoders
from segjax.weights import named
from segjax.weights.convert import from_torch, renamed
from segjax.weights.loading import unused_by
from segjax.weights.names import MOBILENET_V2


@pytest.mark.parametrize(
    ("record", "name", "expected"),
    [
        ("convnext_tiny.imagenet", "features.0.1.bias", "stem.1.bias"),
        ("convnext_tiny.imagenet", "features.5.8.block.3.weight", "stages.2.blocks.8.mlp.fc1.weight"),
        ("convnext_tiny.imagenet", "features.5.8.layer_scale", "stages.2.blocks.8.gamma"),
        ("convnext_tiny.imagenet", "features.6.0.weight", "stages.3.downsample.0.weight"),
        ("regnety_004.imagenet", "stem.1.running_var", "stem.bn.running_var"),
        ("regnety_004.imagenet", "trunk_output.block4.block4-11.f.b.0.weight", "s4.b12.conv2.conv.weight"),
        ("regnety_004.imagenet", "trunk_output.block1.block1-0.proj.1.bias", "s1.b1.downsample.bn.bias"),
        ("regnety_004.imagenet", "trunk_output.block1.block1-0.f.se.fc2.bias", "s1.b1.se.fc2.bias"),
        (
            "densenet121.imagenet",
            "features.denseblock1.denselayer2.norm.1.weight",
            "features.denseblock1.denselayer2.norm1.weight",
        ),
        ("mobilenet_v2.imagenet_timm", "blocks.0.0.bn1.bias", "features.1.conv.0.1.bias"),
        ("mobilenet_v2.imagenet_timm", "blocks.6.0.bn3.bias", "features.17.conv.3.bias"),
        ("densenet121.imagenet", "features.norm5.weight", "features.norm5.weight"),
        ("vgg16.hed", "block3_conv2.weight", "features.12.weight"),
        ("efficientnet_lite0.imagenet", "_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("efficientnet_lite0.imagenet", "_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("efficientnet_lite0.imagenet", "_blocks.3._expand_conv.weight", "blocks.2.0.conv_pw.weight"),
        ("efficientnet_lite0.imagenet", "_blocks.15._bn0.bias", "blocks.6.0.bn1.bias"),
        ("efficientnet_lite2.imagenet", "_blocks.20._bn2.bias", "blocks.6.0.bn3.bias"),
        ("efficientnet_lite0.imagenet", "_bn1.bias", "bn2.bias"),
    ],
)
def test_names_of_files_are_brought_to_those_of_encoders(record: str, name: str, expected: str):
    assert renamed(name, named(record).names) == expected


def test_timms_mobilenet_v2_is_torchvisions_by_other_names():
    with torch.device("meta"):
        theirs, ours = timm.create_model("mobilenetv2_100"), torchvision.models.mobilenet_v2()
    found = {renamed(key, MOBILENET_V2): each.shape for key, each in theirs.state_dict().items()}
    assert found == {key: each.shape for key, each in ours.state_dict().items()}


@pytest.mark.parametrize("encoder", ["mobilenet_v3_small", "mobilenet_v3_large"])
def test_files_of_torchvision_fit_the_encoder_that_their_record_names(encoder: str):
    record, module = named(f"{encoder}.imagenet"), encoders.named(encoder)
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    like: Any = jax.eval_shape(partial(module.init, train=False), jax.random.key(0), image)
    model = getattr(torchvision.models, encoder)(weights=None)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    variables = from_torch(state, like, names=record.names, unused=unused_by(module, record.unused))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, like)
    assert sum(each.numel() for each in model.parameters()) == record.parameters
