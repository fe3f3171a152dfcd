"""Encoders: an image in, one `Level` per resolution out, finest first."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from segjax.encoders.conv import ConvEncoder, vgg16_stages
from segjax.encoders.convnext import (
    ConvNeXt,
    convnext_base,
    convnext_large,
    convnext_small,
    convnext_tiny,
    convnextv2_atto,
    convnextv2_base,
    convnextv2_femto,
    convnextv2_huge,
    convnextv2_large,
    convnextv2_nano,
    convnextv2_pico,
    convnextv2_small,
    convnextv2_tiny,
)
from segjax.encoders.densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from segjax.encoders.efficientnet import (
    EfficientNet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_lite0,
    efficientnet_lite1,
    efficientnet_lite2,
    efficientnet_lite3,
    efficientnet_lite4,
    efficientnet_v2_l,
    efficientnet_v2_m,
    efficientnet_v2_s,
)
from segjax.encoders.hrnet import HRNet, hrnet_w18, hrnet_w32, hrnet_w48
from segjax.encoders.mit import MixTransformer, mit_b0, mit_b1, mit_b2, mit_b3, mit_b4, mit_b5
from segjax.encoders.mobilenet_v2 import MobileNetV2, mobilenet_v2
from segjax.encoders.mobilenet_v3 import mobilenet_v3_large, mobilenet_v3_small
from segjax.encoders.regnet import (
    RegNetY,
    regnety_002,
    regnety_004,
    regnety_006,
    regnety_008,
    regnety_016,
    regnety_032,
    regnety_040,
    regnety_064,
    regnety_080,
    regnety_120,
    regnety_160,
    regnety_320,
)
from segjax.encoders.resnet import (
    ResNet,
    resnet18,
    resnet18d,
    resnet34,
    resnet34d,
    resnet50,
    resnet50d,
    resnet101,
    resnet101d,
    resnet152,
    resnet152d,
    resnext50_32x4d,
    resnext101_32x8d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from segjax.encoders.swin_v2 import SwinV2, swinv2_base, swinv2_small, swinv2_tiny
from segjax.encoders.vgg import VGG, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from segjax.encoders.vit import (
    VisionTransformer,
    dinov2_base,
    dinov2_base_reg4,
    dinov2_large,
    dinov2_large_reg4,
    dinov2_small,
    dinov2_small_reg4,
    vit_base,
    vit_large,
    vit_small,
    vit_tiny,
)
from segjax.errors import made_by_name
from segjax.level import Encoder, Level


def named(encoder: str | nn.Module, **settings: Any) -> nn.Module:
    """The encoder of that name, made with these settings; one that is made already stays as it is.

    Raises:
        ExperimentError: there is none of that name, or it has no such field; it offers the nearest.

    Examples:
        >>> encoder = encoders.named("resnet18", depth=3)
        >>> type(encoder).__name__, encoder.depth
        ('ResNet', 3)
    """
    return made_by_name(encoder, BY_NAME, "encoder", **settings) if isinstance(encoder, str) else encoder


__all__ = [
    "BY_NAME",
    "VGG",
    "ConvEncoder",
    "ConvNeXt",
    "DenseNet",
    "EfficientNet",
    "Encoder",
    "HRNet",
    "Level",
    "MixTransformer",
    "MobileNetV2",
    "RegNetY",
    "ResNet",
    "SwinV2",
    "VisionTransformer",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "convnextv2_atto",
    "convnextv2_base",
    "convnextv2_femto",
    "convnextv2_huge",
    "convnextv2_large",
    "convnextv2_nano",
    "convnextv2_pico",
    "convnextv2_small",
    "convnextv2_tiny",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "dinov2_base",
    "dinov2_base_reg4",
    "dinov2_large",
    "dinov2_large_reg4",
    "dinov2_small",
    "dinov2_small_reg4",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "hrnet_w18",
    "hrnet_w32",
    "hrnet_w48",
    "mit_b0",
    "mit_b1",
    "mit_b2",
    "mit_b3",
    "mit_b4",
    "mit_b5",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "named",
    "regnety_002",
    "regnety_004",
    "regnety_006",
    "regnety_008",
    "regnety_016",
    "regnety_032",
    "regnety_040",
    "regnety_064",
    "regnety_080",
    "regnety_120",
    "regnety_160",
    "regnety_320",
    "resnet18",
    "resnet18d",
    "resnet34",
    "resnet34d",
    "resnet50",
    "resnet50d",
    "resnet101",
    "resnet101d",
    "resnet152",
    "resnet152d",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "swinv2_base",
    "swinv2_small",
    "swinv2_tiny",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_stages",
    "vgg19",
    "vgg19_bn",
    "vit_base",
    "vit_large",
    "vit_small",
    "vit_tiny",
    "wide_resnet50_2",
    "wide_resnet101_2",
]

BY_NAME: dict[str, Callable[..., nn.Module]] = {
    name: globals()[name] for name in __all__ if name.islower() and name not in ("named", "vgg16_stages")
}
"""Encoders by name, each called as `encoder(dtype=..., remat=...)`, with further fields of its own."""
