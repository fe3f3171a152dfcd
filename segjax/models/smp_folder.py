"""What config.json of a folder of segmentation_models.pytorch says, and the model that it is."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from segjax import decoders
from segjax.errors import DataError, nearest
from segjax.models import smp_pyramids, smp_settings, smp_unets
from segjax.models.segmenter import Segmenter
from segjax.models.smp_encoders import ENCODERS, Taken, begins_at_four, made, name_in


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class of its models."""

    make: Callable[..., Segmenter]
    decoder: type[nn.Module]
    encoder: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the encoder."""
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of which segjax has one value alone."""
    read: Callable[[Any], dict[str, Any]] = lambda _: {}
    """Settings that a decoder of its kind has."""


def _of_climb(decoder: Any) -> dict[str, Any]:
    return _attention(decoder) | {"decoder_channels": [widths[0] for widths in reversed(decoder.stages or ())]}


def _of_grid(decoder: Any) -> dict[str, Any]:
    return _attention(decoder) | {"decoder_channels": list(reversed(decoder.widths or ()))}


def _of_manet(decoder: Any) -> dict[str, Any]:
    pairs = getattr(decoder.attention, "keywords", {}).get("width", 64)
    channels = list(reversed(decoder.widths or ()))
    return {"decoder_channels": channels, "decoder_pab_channels": pairs} | _interpolation(decoder)


def _of_fpn(decoder: Any) -> dict[str, Any]:
    channels = {"decoder_pyramid_channels": decoder.width, "decoder_segmentation_channels": decoder.merged_width}
    policy = {"decoder_merge_policy": "cat" if decoder.concatenate else "add"}
    return channels | policy | {"decoder_dropout": decoder.dropout} | _interpolation(decoder)


def _of_deeplab(decoder: Any) -> dict[str, Any]:
    how = {"decoder_atrous_rates": list(decoder.rates), "decoder_aspp_dropout": decoder.dropout}
    own = {"decoder_aspp_separable": decoder.separable} if isinstance(decoder, decoders.DeepLabV3Decoder) else {}
    return {"decoder_channels": decoder.width} | how | own


def name_of(value: Any, known: Mapping[str, Any]) -> str | None:
    """Under which name a value is known, if under any."""
    return next((name for name, one in known.items() if one is value), None)


def _attention(decoder: Any) -> dict[str, Any]:
    return {"decoder_attention_type": None if decoder.attention is None else "scse"} | _interpolation(decoder)


def _interpolation(decoder: Any) -> dict[str, Any]:
    return {"decoder_interpolation": name_of(decoder.upsample, smp_settings.INTERPOLATIONS) or "nearest"}


_FIVE = {"encoder_depth": 5}
_DILATED = {"output_stride": 16, "dilate_first": True}
KINDS = {
    "Unet": Kind(smp_unets.smp_unet, decoders.UNetDecoder, fixed=_FIVE, read=_of_climb),
    "UnetPlusPlus": Kind(smp_unets.smp_unetplusplus, decoders.UNetPlusPlusDecoder, fixed=_FIVE, read=_of_grid),
    "MAnet": Kind(smp_unets.smp_manet, decoders.MANetDecoder, fixed=_FIVE, read=_of_manet),
    "Linknet": Kind(smp_unets.smp_linknet, decoders.LinkNetDecoder, fixed=_FIVE),
    "FPN": Kind(smp_pyramids.smp_fpn, decoders.FPNDecoder, fixed=_FIVE, read=_of_fpn),
    "PSPNet": Kind(
        smp_pyramids.smp_pspnet,
        decoders.PSPNetDecoder,
        {"depth": 3},
        {"encoder_depth": 3},
        lambda decoder: {"psp_out_channels": decoder.width, "psp_dropout": decoder.dropout},
    ),
    "DeepLabV3": Kind(
        smp_pyramids.smp_deeplabv3, decoders.DeepLabV3Decoder, _DILATED | {"output_stride": 8}, _FIVE, _of_deeplab
    ),
    "DeepLabV3Plus": Kind(
        smp_pyramids.smp_deeplabv3plus,
        decoders.DeepLabV3PlusDecoder,
        _DILATED,
        _FIVE | {"decoder_aspp_separable": True},
        _of_deeplab,
    ),
    "PAN": Kind(
        smp_pyramids.smp_pan,
        decoders.PANDecoder,
        _DILATED,
        _FIVE | {"decoder_interpolation": "bilinear"},
        lambda decoder: {"decoder_channels": decoder.width},
    ),
    "UPerNet": Kind(
        smp_pyramids.smp_upernet,
        decoders.UPerNetDecoder,
        fixed=_FIVE | {"decoder_use_norm": "batchnorm"},
        read=lambda decoder: {"decoder_channels": decoder.width},
    ),
    "Segformer": Kind(
        smp_pyramids.smp_segformer,
        decoders.SegFormerDecoder,
        fixed=_FIVE,
        read=lambda decoder: {"decoder_segmentation_channels": decoder.width},
    ),
    "DPT": Kind(
        smp_pyramids.smp_dpt,
        decoders.DPTDecoder,
        # Its ViT takes one size of images unless it is told otherwise; ours takes any.
        fixed={
            "encoder_depth": 4,
            "encoder_output_indices": None,
            "decoder_readout": "cat",
            "dynamic_img_size": True,
        },
        read=lambda decoder: {
            "decoder_intermediate_channels": list(decoder.widths),
            "decoder_fusion_channels": decoder.width,
        },
    ),
}
"""By the class that config.json names."""


_FREE = {"dynamic_img_size", "encoder_weights", "encoder_name", "in_channels", "classes", "encoder_output_stride"}
"""Settings that make no difference to the network, or that are read apart from others."""
_OLD = {"decoder_use_batchnorm": "decoder_use_norm", "psp_use_batchnorm": "decoder_use_norm"}


def model_of(settings: Mapping[str, Any], where: str) -> Segmenter:
    """The model of what config.json holds; `where` is the file's name, for a sentence.

    Raises:
        DataError: segjax does not have it; the sentence says what.
    """
    kind = KINDS.get(settings.get("_model_class", ""))
    if kind is None:
        raise DataError(
            f"{where} names the model {settings.get('_model_class')!r}, and segjax has "
            f"{nearest(str(settings.get('_model_class')), KINDS)}."
        )
    taken: dict[str, Any] = {}
    known = {**inspect.signature(kind.make).parameters, **smp_settings.Ends.__annotations__}
    for said, value in settings.items():
        key = _OLD.get(said, said)
        if said.startswith("_") or said in _FREE:
            continue
        if key in kind.fixed:
            if value != kind.fixed[key]:
                raise DataError(f"{where} sets {said} to {value!r}, and segjax has it with {kind.fixed[key]!r}.")
        elif key in known:
            taken[key] = value
        elif (said, value) != ("decoder_use_norm", "batchnorm"):
            raise DataError(f"{where} sets {said} to {value!r}, which segjax does not know.")
    try:
        return kind.make(_encoder(settings, kind, where), settings.get("classes", 1), **taken)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def taken_encoder(settings: Mapping[str, Any]) -> Taken:
    """The encoder that a config.json names, which `model_of` has found."""
    return ENCODERS[name_in(settings)]


def _encoder(settings: Mapping[str, Any], kind: Kind, where: str) -> nn.Module:
    name = name_in(settings)
    if name not in ENCODERS:
        raise DataError(
            f"{where} has the encoder {name}, which segjax does not take over from there: "
            f"take {nearest(name, ENCODERS)}."
        )
    fields = dict(kind.encoder)
    if "encoder_output_stride" in settings:
        fields["output_stride"] = settings["encoder_output_stride"]
    try:
        return made(name, fields)
    except ValueError as error:
        raise DataError(f"{where}: {error}, which {kind.make.__name__} needs.") from error


def decoder_of(settings: Mapping[str, Any]) -> str:
    """By which name `weights.smp_names` has the decoder of a config.json."""
    name = settings["_model_class"].lower()
    if name == "segformer" and not begins_at_four(name_in(settings)):
        return "segformer_of_five"
    return "deeplabv3_separable" if name == "deeplabv3" and settings.get("decoder_aspp_separable") else name
