"""The networks of segmentation_models.pytorch 0.6 that climb to the image: Unet, UnetPlusPlus, MAnet and Linknet.

Each is a function of an encoder and of its own settings, and equal to its numbers. Where it makes a level of no
channels at stride 2, as for Mix Transformers, these have a place there to climb over. An encoder is as it has it:
MobileNetV2 with `last_conv`, VGG with `full_resolution=False`, EfficientNet with `stem_level`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Unpack

import flax.linen as nn

from segjax.decoders import LinkNetDecoder, MANetDecoder, PositionAttention, UNetDecoder, UNetPlusPlusDecoder
from segjax.encoders import VGG
from segjax.models import smp_settings as settings
from segjax.models.heads import ThreeByThree
from segjax.models.segmenter import Segmenter
from segjax.models.smp_settings import Ends, segmenter

_CHANNELS = (256, 128, 64, 32, 16)


def smp_unet(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_channels: Sequence[int] = _CHANNELS,
    decoder_use_norm: str | bool = "batchnorm",
    decoder_attention_type: str | None = None,
    decoder_interpolation: str = "nearest",
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its Unet: nearest neighbours, two convolutions at each level, of 256 to 16 channels.

    Examples:
        >>> model = models.smp_unet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'UNetDecoder'
    """
    blocks = settings.block(decoder_use_norm)
    decoder = UNetDecoder(
        tuple((width, width) for width in reversed(decoder_channels)),
        settings.interpolation(decoder_interpolation),
        blocks,
        up_first=True,
        narrowing=False,
        bottleneck=_center(encoder, blocks),
        attention=settings.attention(decoder_attention_type),
    )
    return segmenter(num_classes, encoder, decoder, ends, head=ThreeByThree)


def smp_unetplusplus(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_channels: Sequence[int] = _CHANNELS,
    decoder_use_norm: str | bool = "batchnorm",
    decoder_attention_type: str | None = None,
    decoder_interpolation: str = "nearest",
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its UnetPlusPlus, which never runs what it has at the deepest level of VGG.

    Examples:
        >>> model = models.smp_unetplusplus(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'UNetPlusPlusDecoder'
    """
    decoder = UNetPlusPlusDecoder(
        tuple(reversed(decoder_channels)),
        settings.interpolation(decoder_interpolation),
        settings.block(decoder_use_norm),
        attention=settings.attention(decoder_attention_type),
    )
    return segmenter(num_classes, encoder, decoder, ends, head=ThreeByThree)


def smp_manet(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_channels: Sequence[int] = _CHANNELS,
    decoder_pab_channels: int = 64,
    decoder_use_norm: str | bool = "batchnorm",
    decoder_interpolation: str = "nearest",
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its MAnet, whose position attention is `PositionAttention(joint=True)`.

    Examples:
        >>> model = models.smp_manet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'MANetDecoder'
    """
    decoder = MANetDecoder(
        tuple(reversed(decoder_channels)),
        attention=partial(PositionAttention, width=decoder_pab_channels, joint=True),
        upsample=settings.interpolation(decoder_interpolation),
        block=settings.block(decoder_use_norm),
    )
    return segmenter(num_classes, encoder, decoder, ends, head=ThreeByThree)


def smp_linknet(
    encoder: nn.Module, num_classes: int = 1, *, decoder_use_norm: str | bool = "batchnorm", **ends: Unpack[Ends]
) -> Segmenter:
    """Its Linknet.

    Examples:
        >>> model = models.smp_linknet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'LinkNetDecoder'
    """
    return segmenter(num_classes, encoder, LinkNetDecoder(block=settings.block(decoder_use_norm)), ends)


def _center(encoder: nn.Module, blocks: Callable[..., nn.Module]) -> nn.Module | None:
    """The two convolutions that it puts at the deepest level of VGG alone."""
    return blocks((512, 512)) if isinstance(encoder, VGG) else None
