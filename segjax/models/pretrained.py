"""A model of another library with its weights, from a folder or the Hugging Face hub; nothing of it is executed."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from segjax import cache, encoders
from segjax.errors import DataError, nearest
from segjax.layers import Normalized
from segjax.models import smp
from segjax.weights import read, smp_names
from segjax.weights.convert import from_torch

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's."""
_MAKERS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
    "Unet": (smp.smp_unet, {}),
    "UnetPlusPlus": (smp.smp_unetplusplus, {}),
    "MAnet": (smp.smp_manet, {}),
    "Linknet": (smp.smp_linknet, {}),
    "FPN": (smp.smp_fpn, {}),
    "PSPNet": (smp.smp_pspnet, {"depth": 3}),
    "DeepLabV3": (smp.smp_deeplabv3, {"output_stride": 8, "dilate_first": True}),
    "DeepLabV3Plus": (smp.smp_deeplabv3plus, {"output_stride": 16, "dilate_first": True}),
    "PAN": (smp.smp_pan, {"output_stride": 16, "dilate_first": True}),
    "UPerNet": (smp.smp_upernet, {}),
    "Segformer": (smp.smp_segformer, {}),
}
"""By the class that config.json names: the function, and fields of the encoder."""
_ENCODERS = re.compile(r"resnet(18|34|50|101|152)|resnext(50_32x4d|101_32x8d)|mit_b[0-5]")
"""Which segmentation_models.pytorch has as segjax has them."""
_FREE = {"encoder_weights", "encoder_name", "in_channels", "classes"}
"""Settings that make no difference to the network, or that are read."""
_PLAIN: dict[str, Any] = {
    "encoder_depth": 5,
    "decoder_use_batchnorm": True,
    "decoder_use_norm": "batchnorm",
    "decoder_channels": [256, 128, 64, 32, 16],
    "decoder_attention_type": None,
    "decoder_interpolation": "nearest",
    "activation": None,
    "aux_params": None,
}
_PLAIN_OF: dict[str, dict[str, Any]] = {
    "MAnet": {"decoder_pab_channels": 64},
    "FPN": {
        "decoder_pyramid_channels": 256,
        "decoder_segmentation_channels": 128,
        "decoder_merge_policy": "add",
        "decoder_dropout": 0.2,
        "upsampling": 4,
    },
    "PSPNet": {"encoder_depth": 3, "psp_out_channels": 512, "psp_use_batchnorm": True, "psp_dropout": 0.2}
    | {"upsampling": 8},
    "DeepLabV3": {"encoder_output_stride": 8, "decoder_channels": 256, "decoder_atrous_rates": [12, 24, 36]}
    | {"decoder_aspp_separable": False, "decoder_aspp_dropout": 0.5, "upsampling": None},
    "DeepLabV3Plus": {"encoder_output_stride": 16, "decoder_channels": 256, "decoder_atrous_rates": [12, 24, 36]}
    | {"decoder_aspp_separable": True, "decoder_aspp_dropout": 0.5, "upsampling": 4},
    "PAN": {"encoder_output_stride": 16, "decoder_channels": 32, "decoder_interpolation": "bilinear"}
    | {"upsampling": 4},
    "UPerNet": {"decoder_channels": 256, "upsampling": 4},
    "Segformer": {"decoder_segmentation_channels": 256, "upsampling": 4},
}


def from_pretrained(name: str | Path, revision: str = "main") -> tuple[nn.Module, dict[str, Any]]:
    """A model of segmentation_models.pytorch, and its variables, without torch.

        model, variables = segjax.from_pretrained("smp-hub/upernet-resnet50-640x640")
        logits = model.apply(variables, images, train=False)  # uint8 images as they are

    The model is normalised by ImageNet's statistics, as its encoders are, where it takes three channels; otherwise it
    takes what it was trained on.

    Args:
        name: A folder with config.json and model.safetensors, as its `save_pretrained` leaves it, or the id of such a
            repository of the Hugging Face hub.
        revision: Of the repository: a commit, a branch or a tag.

    Raises:
        DataError: it cannot be had or read, or it is a model that segjax does not have; the sentence says which.
    """
    folder = Path(name)
    if folder.is_dir():
        files = [folder / "config.json", folder / "model.safetensors"]
    else:
        files = [cache.fetch_hub(str(name), file, revision) for file in ("config.json", "model.safetensors")]
    config, weights = files
    for file in files:
        if not file.is_file():
            raise DataError(f"{folder} has no {file.name}: give the folder that save_pretrained wrote.")
    settings = _settings(config)
    model = _made(settings, config)
    channels = settings.get("in_channels", 3)
    image = jax.ShapeDtypeStruct((1, 64, 64, channels), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    like = jax.eval_shape(partial(model.init, train=False), keys, image)
    state = smp_names.of_model(read(weights), _decoder(settings))
    # It keeps the stages of the encoder that PSPNet never runs.
    unused = r"encoder\." if settings["_model_class"] == "PSPNet" else None
    try:
        variables = from_torch(state, like, unused=unused, transposed=smp_names.TRANSPOSED)
    except DataError as error:
        raise DataError(f"{weights}: {error}") from error
    if channels != 3:
        return model, variables
    return Normalized(model, _MEAN, _STD), {kind: {"model": tree} for kind, tree in variables.items()}


def _settings(config: Path) -> Mapping[str, Any]:
    try:
        settings = json.loads(config.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{config} is no JSON ({error}): fetch it again.") from error
    if not isinstance(settings, dict) or settings.get("_model_class") not in _MAKERS:
        found = settings.get("_model_class") if isinstance(settings, dict) else None
        raise DataError(f"{config} names the model {found!r}, and segjax has {nearest(str(found), _MAKERS)}.")
    return settings


def _made(settings: Mapping[str, Any], config: Path) -> nn.Module:
    name, encoder = settings["_model_class"], str(settings.get("encoder_name", "resnet34"))
    if not _ENCODERS.fullmatch(encoder):
        raise DataError(
            f"{config} has the encoder {encoder}, which segjax does not take over from there: resnet18 to resnet152, "
            "resnext50_32x4d, resnext101_32x8d and mit_b0 to mit_b5 are."
        )
    plain = _PLAIN | _PLAIN_OF.get(name, {})
    for key, value in settings.items():
        if key.startswith("_") or key in _FREE:
            continue
        if key not in plain or value != plain[key]:
            expected = f", and segjax has it with {plain[key]!r}" if key in plain else ", which segjax does not know"
            raise DataError(f"{config} sets {key} to {value!r}{expected}.")
    make, given = _MAKERS[name]
    fields = dict(given)
    if "depth" in fields and encoder.startswith("mit_"):
        fields["depth"] -= 1  # its first level is at stride 4
    of_encoder = encoders.BY_NAME[encoder]
    known = inspect.signature(of_encoder).parameters
    if unknown := [field for field in fields if field not in known]:
        raise DataError(f"{config}: {encoder} has no {unknown[0]}, which {name} needs.")
    return make(of_encoder(**fields), num_classes=settings.get("classes", 1))


def _decoder(settings: Mapping[str, Any]) -> str:
    name = settings["_model_class"].lower()
    five = name == "segformer" and not settings.get("encoder_name", "resnet34").startswith("mit_")
    return "segformer_of_five" if five else name
