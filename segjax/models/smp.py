"""The networks of segmentation_models.pytorch 0.6, each a function of an encoder, equal to its numbers.

Its heads interpolate with aligned corners. Where it makes a level of no channels at stride 2, as for Mix Transformers,
these have a place there to climb over.
"""

from functools import partial

import flax.linen as nn

from segjax.decoders import (
    DeepLabV3Decoder,
    DeepLabV3PlusDecoder,
    FPNDecoder,
    LinkNetDecoder,
    MANetDecoder,
    PANDecoder,
    PositionAttention,
    PSPNetDecoder,
    SegFormerDecoder,
    UNetDecoder,
    UNetPlusPlusDecoder,
    UPerNetDecoder,
)
from segjax.layers import ConvBlock, group_norm
from segjax.models.segmenter import Segmenter
from segjax.upsampling import Bilinear, Nearest

_ALIGNED = partial(Bilinear, align_corners=True)
_THREE = partial(nn.Conv, kernel_size=(3, 3))
_WIDTHS = (16, 32, 64, 128, 256)


def _segmenter(num_classes: int, encoder: nn.Module, decoder: nn.Module, **head: object) -> Segmenter:
    return Segmenter(num_classes, encoder, decoder, to_image=_ALIGNED, places=(1, 2), **head)  # type: ignore[arg-type]


def smp_unet(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its Unet: nearest neighbours, two convolutions at each level, of 256 to 16 channels."""
    stages = tuple((width, width) for width in _WIDTHS)
    return _segmenter(num_classes, encoder, UNetDecoder(stages, Nearest, up_first=True, narrowing=False), head=_THREE)


def smp_unetplusplus(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its UnetPlusPlus."""
    return _segmenter(num_classes, encoder, UNetPlusPlusDecoder(_WIDTHS), head=_THREE)


def smp_manet(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its MAnet, whose position attention is `PositionAttention(joint=True)`."""
    decoder = MANetDecoder(_WIDTHS, attention=partial(PositionAttention, joint=True))
    return _segmenter(num_classes, encoder, decoder, head=_THREE)


def smp_linknet(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its Linknet."""
    return _segmenter(num_classes, encoder, LinkNetDecoder())


def smp_fpn(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its FPN, whose convolutions are normalised by groups."""
    block = partial(ConvBlock, norm=group_norm)
    return _segmenter(num_classes, encoder, FPNDecoder(merge=_ALIGNED, block=block))


def smp_pspnet(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its PSPNet, of an encoder whose depth is 3."""
    return _segmenter(num_classes, encoder, PSPNetDecoder(align_corners=True), head=_THREE)


def smp_deeplabv3(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its DeepLabV3, of an encoder whose output stride is 8, with `dilate_first`."""
    return _segmenter(num_classes, encoder, DeepLabV3Decoder())


def smp_deeplabv3plus(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its DeepLabV3Plus, of an encoder whose output stride is 16, with `dilate_first`."""
    return _segmenter(num_classes, encoder, DeepLabV3PlusDecoder(upsample=_ALIGNED))


def smp_pan(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its PAN, of an encoder whose output stride is 16, with `dilate_first`."""
    decoder = PANDecoder(align_corners=True, upsample=_ALIGNED)
    return _segmenter(num_classes, encoder, decoder, head=_THREE)


def smp_upernet(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its UPerNet."""
    return _segmenter(num_classes, encoder, UPerNetDecoder())


def smp_segformer(encoder: nn.Module, num_classes: int = 1) -> Segmenter:
    """Its Segformer, which also reads a level of stride 2 where the encoder has one."""
    return _segmenter(num_classes, encoder, SegFormerDecoder(finer=True))
