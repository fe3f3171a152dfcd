"""Encoders: an image in, one `Level` per resolution out, finest first."""

from collections.abc import Callable
from functools import partial

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
from segjax.encoders.hrnet import HRNet, hrnet_w18, hrnet_w32, hrnet_w48
from segjax.encoders.mit import MixTransformer, mit_b0, mit_b1, mit_b2, mit_b3, mit_b4, mit_b5
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
from segjax.encoders.swin_v2 import SwinV2, swinv2_base, swinv2_small, swinv2_tiny
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
from segjax.errors import nearest
from segjax.level import Encoder, Level

BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "vgg16": partial(ConvEncoder, vgg16_stages()),
    "mit_b0": mit_b0,
    "mit_b1": mit_b1,
    "mit_b2": mit_b2,
    "mit_b3": mit_b3,
    "mit_b4": mit_b4,
    "mit_b5": mit_b5,
    "convnext_tiny": convnext_tiny,
    "convnext_small": convnext_small,
    "convnext_base": convnext_base,
    "convnext_large": convnext_large,
    "convnextv2_atto": convnextv2_atto,
    "convnextv2_femto": convnextv2_femto,
    "convnextv2_pico": convnextv2_pico,
    "convnextv2_nano": convnextv2_nano,
    "convnextv2_tiny": convnextv2_tiny,
    "convnextv2_small": convnextv2_small,
    "convnextv2_base": convnextv2_base,
    "convnextv2_large": convnextv2_large,
    "convnextv2_huge": convnextv2_huge,
    "vit_tiny": vit_tiny,
    "vit_small": vit_small,
    "vit_base": vit_base,
    "vit_large": vit_large,
    "dinov2_small": dinov2_small,
    "dinov2_base": dinov2_base,
    "dinov2_large": dinov2_large,
    "dinov2_small_reg4": dinov2_small_reg4,
    "dinov2_base_reg4": dinov2_base_reg4,
    "dinov2_large_reg4": dinov2_large_reg4,
    "regnety_002": regnety_002,
    "regnety_004": regnety_004,
    "regnety_006": regnety_006,
    "regnety_008": regnety_008,
    "regnety_016": regnety_016,
    "regnety_032": regnety_032,
    "regnety_040": regnety_040,
    "regnety_064": regnety_064,
    "regnety_080": regnety_080,
    "regnety_120": regnety_120,
    "regnety_160": regnety_160,
    "regnety_320": regnety_320,
    "densenet121": densenet121,
    "densenet161": densenet161,
    "densenet169": densenet169,
    "densenet201": densenet201,
    "swinv2_tiny": swinv2_tiny,
    "swinv2_small": swinv2_small,
    "swinv2_base": swinv2_base,
    "hrnet_w18": hrnet_w18,
    "hrnet_w32": hrnet_w32,
    "hrnet_w48": hrnet_w48,
}
"""Encoders by name, each called as `encoder(block=...)`; the block carries norm, activation, dtype and remat."""


def named(encoder: str | nn.Module, **settings: Callable[..., nn.Module]) -> nn.Module:
    """The encoder of that name, made with these settings; one that is made already stays as it is.

    Raises:
        ValueError: there is none of that name; it offers the nearest.
    """
    if not isinstance(encoder, str):
        return encoder
    if encoder not in BY_NAME:
        raise ValueError(f"{encoder} is no encoder; name one, such as {nearest(encoder, sorted(BY_NAME))}.")
    return BY_NAME[encoder](**settings)


__all__ = [
    "BY_NAME",
    "ConvEncoder",
    "ConvNeXt",
    "DenseNet",
    "Encoder",
    "HRNet",
    "Level",
    "MixTransformer",
    "RegNetY",
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
    "hrnet_w18",
    "hrnet_w32",
    "hrnet_w48",
    "mit_b0",
    "mit_b1",
    "mit_b2",
    "mit_b3",
    "mit_b4",
    "mit_b5",
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
    "swinv2_base",
    "swinv2_small",
    "swinv2_tiny",
    "vgg16_stages",
    "vit_base",
    "vit_large",
    "vit_small",
    "vit_tiny",
]
