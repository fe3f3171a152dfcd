"""The networks of segmentation_models.pytorch 0.6 that end before the image, to which their logits are resized.

They are FPN, PSPNet, DeepLabV3, DeepLabV3Plus, PAN, UPerNet, Segformer and DPT.
Each is a function of an encoder and of its own settings, and equal to its numbers; encoders are as for `smp_unet`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Unpack

import flax.linen as nn

from segjax.decoders import (
    DeepLabV3Decoder,
    DeepLabV3PlusDecoder,
    DPTDecoder,
    FPNDecoder,
    PANDecoder,
    PSPNetDecoder,
    SegFormerDecoder,
    UPerNetDecoder,
)
from segjax.layers import ConvBlock, group_norm
from segjax.models import smp_settings as settings
from segjax.models.heads import ThreeByThree
from segjax.models.segmenter import Segmenter
from segjax.models.smp_settings import ALIGNED, Ends, segmenter


def smp_fpn(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_pyramid_channels: int = 256,
    decoder_segmentation_channels: int = 128,
    decoder_merge_policy: str = "add",
    decoder_dropout: float = 0.2,
    decoder_interpolation: str = "nearest",
    upsampling: int = 4,
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its FPN, whose convolutions are normalised by groups.

    Examples:
        >>> model = models.smp_fpn(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'FPNDecoder'
    """
    decoder = FPNDecoder(
        decoder_pyramid_channels,
        decoder_segmentation_channels,
        decoder_dropout,
        upsample=settings.interpolation(decoder_interpolation),
        merge=ALIGNED,
        concatenate=settings.chosen("decoder_merge_policy", decoder_merge_policy, {"add": False, "cat": True}),
        block=partial(ConvBlock, norm=group_norm),
    )
    return segmenter(num_classes, encoder, decoder, ends, stride=settings.stride(4, upsampling))


def smp_pspnet(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    psp_out_channels: int = 512,
    psp_dropout: float = 0.2,
    decoder_use_norm: str | bool = "batchnorm",
    upsampling: int = 8,
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its PSPNet, of an encoder whose depth is 3.

    Examples:
        >>> model = models.smp_pspnet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'PSPNetDecoder'
    """
    decoder = PSPNetDecoder(
        width=psp_out_channels, dropout=psp_dropout, block=settings.block(decoder_use_norm), align_corners=True
    )
    return segmenter(num_classes, encoder, decoder, ends, head=ThreeByThree, stride=settings.stride(8, upsampling))


def smp_deeplabv3(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_channels: int = 256,
    decoder_atrous_rates: Sequence[int] = (12, 24, 36),
    decoder_aspp_separable: bool = False,
    decoder_aspp_dropout: float = 0.5,
    upsampling: int | None = None,
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its DeepLabV3, of an encoder whose output stride is 8 or 16, with `dilate_first`.

    Examples:
        >>> model = models.smp_deeplabv3(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'DeepLabV3Decoder'
    """
    ends_at = getattr(encoder, "output_stride", 8)
    decoder = DeepLabV3Decoder(
        decoder_channels, tuple(decoder_atrous_rates), decoder_aspp_separable, decoder_aspp_dropout, ends_at
    )
    return segmenter(num_classes, encoder, decoder, ends, stride=settings.stride(ends_at, upsampling or ends_at))


def smp_deeplabv3plus(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_channels: int = 256,
    decoder_atrous_rates: Sequence[int] = (12, 24, 36),
    decoder_aspp_dropout: float = 0.5,
    upsampling: int = 4,
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its DeepLabV3Plus, of an encoder whose output stride is 16 or 8, with `dilate_first`.

    Examples:
        >>> model = models.smp_deeplabv3plus(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'DeepLabV3PlusDecoder'
    """
    decoder = DeepLabV3PlusDecoder(
        decoder_channels, rates=tuple(decoder_atrous_rates), dropout=decoder_aspp_dropout, upsample=ALIGNED
    )
    return segmenter(num_classes, encoder, decoder, ends, stride=settings.stride(4, upsampling))


def smp_pan(
    encoder: nn.Module, num_classes: int = 1, *, decoder_channels: int = 32, upsampling: int = 4, **ends: Unpack[Ends]
) -> Segmenter:
    """Its PAN, of an encoder whose output stride is 16 or 32, with `dilate_first`.

    Examples:
        >>> model = models.smp_pan(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'PANDecoder'
    """
    decoder = PANDecoder(decoder_channels, align_corners=True, upsample=ALIGNED)
    return segmenter(num_classes, encoder, decoder, ends, head=ThreeByThree, stride=settings.stride(4, upsampling))


def smp_upernet(
    encoder: nn.Module, num_classes: int = 1, *, decoder_channels: int = 256, upsampling: int = 4, **ends: Unpack[Ends]
) -> Segmenter:
    """Its UPerNet.

    Examples:
        >>> model = models.smp_upernet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'UPerNetDecoder'
    """
    return segmenter(
        num_classes, encoder, UPerNetDecoder(decoder_channels), ends, stride=settings.stride(4, upsampling)
    )


def smp_segformer(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_segmentation_channels: int = 256,
    upsampling: int = 4,
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its Segformer, which also reads a level of stride 2 where the encoder has one.

    Examples:
        >>> model = models.smp_segformer(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'SegFormerDecoder'
    """
    decoder = SegFormerDecoder(decoder_segmentation_channels, finer=True)
    return segmenter(num_classes, encoder, decoder, ends, stride=settings.stride(4, upsampling))


def smp_dpt(
    encoder: nn.Module,
    num_classes: int = 1,
    *,
    decoder_intermediate_channels: Sequence[int] = (256, 512, 1024, 1024),
    decoder_fusion_channels: int = 256,
    **ends: Unpack[Ends],
) -> Segmenter:
    """Its DPT with the readout "cat", of a plain ViT of stride 16.

    Examples:
        >>> model = models.smp_dpt(encoders.VisionTransformer(32, 2, 4), num_classes=3)
        >>> type(model.decoder).__name__
        'DPTDecoder'
    """
    decoder = DPTDecoder(tuple(decoder_intermediate_channels), decoder_fusion_channels)
    return segmenter(num_classes, encoder, decoder, ends)
