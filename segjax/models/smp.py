"""The networks of segmentation_models.pytorch 0.6, each a function of an encoder and of its own settings.

They are equal to its numbers. Its heads interpolate with aligned corners. Where it makes a level of no channels at
stride 2, as for Mix Transformers, these have a place there to climb over. An encoder is as it has it: MobileNetV2 with
`last_conv`, VGG with `full_resolution=False`, EfficientNet with `stem_level`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypedDict, Unpack

import flax.linen as nn
import jax

from segjax.decoders import (
    DeepLabV3Decoder,
    DeepLabV3PlusDecoder,
    DPTDecoder,
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
from segjax.encoders import VGG
from segjax.layers import ConvBlock, ScSE, batch_norm, group_norm, instance_norm
from segjax.models.heads import ImageHead
from segjax.models.segmenter import Segmenter
from segjax.upsampling import Bilinear, Nearest

_ALIGNED = partial(Bilinear, align_corners=True)
_THREE = partial(nn.Conv, kernel_size=(3, 3))
_CHANNELS = (256, 128, 64, 32, 16)
ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": jax.nn.sigmoid,
    "softmax2d": jax.nn.softmax,
    "logsoftmax": jax.nn.log_softmax,
    "tanh": jax.nn.tanh,
}
"""Those of its names that have parameters of none: of channels."""
ATTENTIONS: dict[str, Callable[..., nn.Module]] = {"scse": ScSE}
INTERPOLATIONS: dict[str, Callable[..., nn.Module]] = {"nearest": Nearest, "bilinear": Bilinear}
NORMS: dict[str, Callable[..., nn.Module] | None] = {
    "batchnorm": batch_norm,
    "identity": None,
    "instancenorm": instance_norm,
}


class Ends(TypedDict, total=False):
    """What all of them take beside their decoder's settings."""

    activation: str | None
    """After the logits."""
    aux_params: Mapping[str, Any] | None
    """Of a head for the image's classes: classes, pooling, dropout, activation."""


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
    blocks = block(decoder_use_norm)
    decoder = UNetDecoder(
        tuple((width, width) for width in reversed(decoder_channels)),
        _chosen("decoder_interpolation", decoder_interpolation, INTERPOLATIONS),
        blocks,
        up_first=True,
        narrowing=False,
        bottleneck=_center(encoder, blocks),
        attention=_chosen("decoder_attention_type", decoder_attention_type, ATTENTIONS),
    )
    return _segmenter(num_classes, encoder, decoder, ends, head=_THREE)


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
        _chosen("decoder_interpolation", decoder_interpolation, INTERPOLATIONS),
        block(decoder_use_norm),
        attention=_chosen("decoder_attention_type", decoder_attention_type, ATTENTIONS),
    )
    return _segmenter(num_classes, encoder, decoder, ends, head=_THREE)


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
        upsample=_chosen("decoder_interpolation", decoder_interpolation, INTERPOLATIONS),
        block=block(decoder_use_norm),
    )
    return _segmenter(num_classes, encoder, decoder, ends, head=_THREE)


def smp_linknet(
    encoder: nn.Module, num_classes: int = 1, *, decoder_use_norm: str | bool = "batchnorm", **ends: Unpack[Ends]
) -> Segmenter:
    """Its Linknet.

    Examples:
        >>> model = models.smp_linknet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'LinkNetDecoder'
    """
    return _segmenter(num_classes, encoder, LinkNetDecoder(block=block(decoder_use_norm)), ends)


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
        upsample=_chosen("decoder_interpolation", decoder_interpolation, INTERPOLATIONS),
        merge=_ALIGNED,
        concatenate=_chosen("decoder_merge_policy", decoder_merge_policy, {"add": False, "cat": True}),
        block=partial(ConvBlock, norm=group_norm),
    )
    return _segmenter(num_classes, encoder, decoder, ends, stride=_stride(4, upsampling))


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
        width=psp_out_channels, dropout=psp_dropout, block=block(decoder_use_norm), align_corners=True
    )
    return _segmenter(num_classes, encoder, decoder, ends, head=_THREE, stride=_stride(8, upsampling))


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
    return _segmenter(num_classes, encoder, decoder, ends, stride=_stride(ends_at, upsampling or ends_at))


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
        decoder_channels, rates=tuple(decoder_atrous_rates), dropout=decoder_aspp_dropout, upsample=_ALIGNED
    )
    return _segmenter(num_classes, encoder, decoder, ends, stride=_stride(4, upsampling))


def smp_pan(
    encoder: nn.Module, num_classes: int = 1, *, decoder_channels: int = 32, upsampling: int = 4, **ends: Unpack[Ends]
) -> Segmenter:
    """Its PAN, of an encoder whose output stride is 16 or 32, with `dilate_first`.

    Examples:
        >>> model = models.smp_pan(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'PANDecoder'
    """
    decoder = PANDecoder(decoder_channels, align_corners=True, upsample=_ALIGNED)
    return _segmenter(num_classes, encoder, decoder, ends, head=_THREE, stride=_stride(4, upsampling))


def smp_upernet(
    encoder: nn.Module, num_classes: int = 1, *, decoder_channels: int = 256, upsampling: int = 4, **ends: Unpack[Ends]
) -> Segmenter:
    """Its UPerNet.

    Examples:
        >>> model = models.smp_upernet(encoders.named("mobilenet_v2"), num_classes=3)
        >>> type(model.decoder).__name__
        'UPerNetDecoder'
    """
    return _segmenter(num_classes, encoder, UPerNetDecoder(decoder_channels), ends, stride=_stride(4, upsampling))


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
    return _segmenter(num_classes, encoder, decoder, ends, stride=_stride(4, upsampling))


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
    return _segmenter(num_classes, encoder, decoder, ends)


def _segmenter(num_classes: int, encoder: nn.Module, decoder: nn.Module, ends: Ends, **settings: Any) -> Segmenter:
    activation, image = ends.get("activation"), ends.get("aux_params")
    head = None
    if image is not None:
        fields = {key: image[key] for key in ("pooling", "dropout") if key in image}
        of_image = _chosen("activation of aux_params", image.get("activation"), ACTIVATIONS)
        head = ImageHead(image["classes"], activation=of_image, **fields)
    return Segmenter(
        num_classes,
        encoder,
        decoder,
        to_image=_ALIGNED,
        places=(1, 2),
        activation=_chosen("activation", None if activation == "identity" else activation, ACTIVATIONS),
        image_head=head,
        **settings,
    )


def _center(encoder: nn.Module, blocks: Callable[..., nn.Module]) -> nn.Module | None:
    """The two convolutions that it puts at the deepest level of VGG alone."""
    return blocks((512, 512)) if isinstance(encoder, VGG) else None


def _norm(name: str | bool) -> Callable[..., nn.Module] | None:
    if isinstance(name, bool):
        name = "batchnorm" if name else "identity"
    return _chosen("decoder_use_norm", name, NORMS)


def block(norm: str | bool) -> Callable[..., nn.Module]:
    """Convolutions with the normalisation of a name of its."""
    made = _norm(norm)
    return ConvBlock if made is batch_norm else partial(ConvBlock, norm=made)


def _stride(of_decoder: int, upsampling: int) -> int:
    if upsampling < 1 or of_decoder % upsampling:
        raise ValueError(f"upsampling is {upsampling}; of a decoder that ends at stride {of_decoder}, give a divisor.")
    return of_decoder // upsampling


def _chosen(setting: str, value: Any, known: Mapping[str, Any]) -> Any:
    if value is None and "identity" not in known:
        return None
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{setting} is {value!r}, and segjax has {', '.join(known)}.")
    return known[value]
