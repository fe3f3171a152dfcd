"""What config.json of a folder of segmentation_models.pytorch says, and the model that it is."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn

from segjax import decoders, encoders
from segjax.encoders.efficientnet import tf_batch_norm
from segjax.errors import DataError, nearest
from segjax.layers import batch_norm
from segjax.models import smp
from segjax.models.segmenter import Segmenter
from segjax.weights.names import Names, lite


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
    return {"decoder_interpolation": name_of(decoder.upsample, smp.INTERPOLATIONS) or "nearest"}


_FIVE = {"encoder_depth": 5}
_DILATED = {"output_stride": 16, "dilate_first": True}
KINDS = {
    "Unet": Kind(smp.smp_unet, decoders.UNetDecoder, fixed=_FIVE, read=_of_climb),
    "UnetPlusPlus": Kind(smp.smp_unetplusplus, decoders.UNetPlusPlusDecoder, fixed=_FIVE, read=_of_grid),
    "MAnet": Kind(smp.smp_manet, decoders.MANetDecoder, fixed=_FIVE, read=_of_manet),
    "Linknet": Kind(smp.smp_linknet, decoders.LinkNetDecoder, fixed=_FIVE),
    "FPN": Kind(smp.smp_fpn, decoders.FPNDecoder, fixed=_FIVE, read=_of_fpn),
    "PSPNet": Kind(
        smp.smp_pspnet,
        decoders.PSPNetDecoder,
        {"depth": 3},
        {"encoder_depth": 3},
        lambda decoder: {"psp_out_channels": decoder.width, "psp_dropout": decoder.dropout},
    ),
    "DeepLabV3": Kind(
        smp.smp_deeplabv3, decoders.DeepLabV3Decoder, _DILATED | {"output_stride": 8}, _FIVE, _of_deeplab
    ),
    "DeepLabV3Plus": Kind(
        smp.smp_deeplabv3plus,
        decoders.DeepLabV3PlusDecoder,
        _DILATED,
        _FIVE | {"decoder_aspp_separable": True},
        _of_deeplab,
    ),
    "PAN": Kind(
        smp.smp_pan,
        decoders.PANDecoder,
        _DILATED,
        _FIVE | {"decoder_interpolation": "bilinear"},
        lambda decoder: {"decoder_channels": decoder.width},
    ),
    "UPerNet": Kind(
        smp.smp_upernet,
        decoders.UPerNetDecoder,
        fixed=_FIVE | {"decoder_use_norm": "batchnorm"},
        read=lambda decoder: {"decoder_channels": decoder.width},
    ),
    "Segformer": Kind(
        smp.smp_segformer,
        decoders.SegFormerDecoder,
        fixed=_FIVE,
        read=lambda decoder: {"decoder_segmentation_channels": decoder.width},
    ),
    "DPT": Kind(
        smp.smp_dpt,
        decoders.DPTDecoder,
        fixed={"encoder_depth": 4, "encoder_output_indices": None, "decoder_readout": "cat"},
        read=lambda decoder: {
            "decoder_intermediate_channels": list(decoder.widths),
            "decoder_fusion_channels": decoder.width,
        },
    ),
}
"""By the class that config.json names."""


class Taken(NamedTuple):
    """An encoder as it is there."""

    make: Callable[..., nn.Module]
    names: Names = ()
    """What brings its names to ours."""
    before_classifier: int = 0
    """Channels of a convolution to the classifier that is kept there and never run; 0 for none."""


_OF_TORCH = re.compile(r"resnet(18|34|50|101|152)|resnext(50_32x4d|101_32x8d)|mit_b[0-5]")
_BEFORE = {"b0": 1280, "b1": 1280, "b2": 1408, "b3": 1536, "b4": 1792, "b5": 2048, "b6": 2304, "b7": 2560}
_BEFORE |= {f"lite{i}": 1280 for i in range(5)}
_TIMM = {"padding": "symmetric", "norm": batch_norm, "stem_level": True}
ENCODERS: dict[str, Taken] = {
    **{name: Taken(make) for name, make in encoders.BY_NAME.items() if _OF_TORCH.fullmatch(name)},
    **{
        name: Taken(partial(make, full_resolution=False))
        for name, make in encoders.BY_NAME.items()
        if name.startswith("vgg")
    },
    **{
        name: Taken(partial(make, in_transitions=True))
        for name, make in encoders.BY_NAME.items()
        if name.startswith("densenet")
    },
    "mobilenet_v2": Taken(partial(encoders.mobilenet_v2, last_conv=True)),
    "efficientnet-b0": Taken(
        partial(encoders.efficientnet_b0, stem_level=True, first_block_at=(16,)), lite((1, 2, 2, 3, 3, 4, 1)), 1280
    ),
    **{
        f"timm-tf_efficientnet_{size}" if "lite" in size else f"timm-efficientnet-{size}": Taken(
            partial(encoders.BY_NAME[f"efficientnet_{size}"], **_TIMM), before_classifier=width
        )
        for size, width in _BEFORE.items()
    },
    **{
        f"tu-{name}": Taken(make, ((r"^model\.", ""), (r"^(stem|stages)_(\d)\.", r"\1.\2.")))
        for name, make in encoders.BY_NAME.items()
        if re.match(r"resnet\d+d?$|wide_resnet|resnext|convnext|regnety", name)
    },
    **{
        f"tu-{prefix}mobilenetv3_{size}_100": Taken(
            partial(encoders.BY_NAME[f"mobilenet_v3_{size}"], norm=norm, padding=padding), ((r"^model\.", ""),)
        )
        for size in ("large", "small")
        for prefix, norm, padding in (("", batch_norm, "symmetric"), ("tf_", tf_batch_norm, "SAME"))
    },
    **{
        f"tu-vit_{size}_patch16_224": Taken(encoders.BY_NAME[f"vit_{size}"], ((r"^model\.", ""),))
        for size in ("tiny", "small", "base", "large")
    },
}
"""By its names. Others of that name are other networks: efficientnet-b1 to b7 pad as for images of one odd size."""
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
    known = {**inspect.signature(kind.make).parameters, **smp.Ends.__annotations__}
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
    return ENCODERS[_encoder_name(settings)]


def _encoder(settings: Mapping[str, Any], kind: Kind, where: str) -> nn.Module:
    name = _encoder_name(settings)
    if name not in ENCODERS:
        raise DataError(
            f"{where} has the encoder {name}, which segjax does not take over from there: "
            f"take {nearest(name, ENCODERS)}."
        )
    fields = dict(kind.encoder)
    if "encoder_output_stride" in settings:
        fields["output_stride"] = settings["encoder_output_stride"]
    if "depth" in fields and _begins_at_four(name):
        fields["depth"] -= 1
    make = ENCODERS[name].make
    made = make()
    if unknown := [field for field in fields if not hasattr(made, field)]:
        raise DataError(f"{where}: {name} has no {unknown[0]}, which {kind.make.__name__} needs.")
    return make(**fields)


def _encoder_name(settings: Mapping[str, Any]) -> str:
    name = str(settings.get("encoder_name", "resnet34"))
    name = re.sub("^timm-(?=regnet)", "tu-", re.sub("^timm-(?=mobilenetv3)", "tu-tf_", name))  # as it does itself
    return name.partition(".")[0] if name.startswith("tu-") else name  # a tag of weights may follow


def _begins_at_four(encoder: str) -> bool:
    return encoder.startswith(("mit_", "tu-convnext"))


def decoder_of(settings: Mapping[str, Any]) -> str:
    """By which name `weights.smp_names` has the decoder of a config.json."""
    name = settings["_model_class"].lower()
    if name == "segformer" and not _begins_at_four(_encoder_name(settings)):
        return "segformer_of_five"
    return "deeplabv3_separable" if name == "deeplabv3" and settings.get("decoder_aspp_separable") else name
