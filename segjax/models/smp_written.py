"""What is written of a model into a folder of segmentation_models.pytorch, beside its own variables."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from segjax.errors import DataError
from segjax.layers import ScSE
from segjax.models import smp_settings
from segjax.models.described import describe
from segjax.models.segmenter import Segmenter
from segjax.models.smp_encoders import ENCODERS, made
from segjax.models.smp_folder import KINDS, Kind, name_of, taken_encoder

_NOT_COMPUTED = ("dtype", "remat", "drop_path")
"""Fields that change how a model is trained or computed, and not what it is."""


def settings_of(model: nn.Module, channels: int) -> dict[str, Any]:
    """What config.json says of a model that one of the functions of `segjax.models` such as `smp_unet` makes.

    Raises:
        DataError: none of them makes it.
    """
    found = _settings(model) if isinstance(model, Segmenter) else None
    if found is None:
        raise DataError(
            f"{type(model).__name__} of {type(getattr(model, 'encoder', None)).__name__} and "
            f"{type(getattr(model, 'decoder', None)).__name__} is no network of segmentation_models.pytorch: make it "
            "by a function such as segjax.models.smp_unet, or save it in segjax's own layout."
        )
    return found | {"encoder_weights": None, "in_channels": channels, "classes": model.num_classes}


def _settings(model: Segmenter) -> dict[str, Any] | None:
    own = _essence(describe(model))
    for name, kind in KINDS.items():
        if type(model.decoder) is not kind.decoder:
            continue
        read = kind.read(model.decoder) | _ends(model)
        if "upsampling" in inspect.signature(kind.make).parameters:
            read["upsampling"] = model.decoder.finest_stride // model.stride  # type: ignore[attr-defined]
        norms = list(smp_settings.NORMS) if "decoder_use_norm" in inspect.signature(kind.make).parameters else [None]
        for norm in norms:
            settings = read | ({} if norm is None else {"decoder_use_norm": norm})
            try:
                network = kind.make(model.encoder, model.num_classes, **settings)
            except ValueError:
                continue
            encoder = _name_of_encoder(model.encoder, kind)
            if encoder is not None and _essence(describe(network)) == own:
                stride = getattr(model.encoder, "output_stride", None) if "output_stride" in kind.encoder else None
                dilated = {} if stride is None else {"encoder_output_stride": stride}
                return {"_model_class": name, "encoder_name": encoder} | dict(kind.fixed) | dilated | settings
    return None


def _ends(model: Segmenter) -> dict[str, Any]:
    image: Any = model.image_head
    head = None
    if image is not None:
        of_image = name_of(image.activation, smp_settings.ACTIVATIONS)
        head = {"classes": image.num_classes, "pooling": image.pooling, "dropout": image.dropout}
        head["activation"] = of_image
    return {"activation": name_of(model.activation, smp_settings.ACTIVATIONS), "aux_params": head}


def _name_of_encoder(encoder: nn.Module, kind: Kind) -> str | None:
    own, fields = _essence(describe(encoder)), dict(kind.encoder)
    if "output_stride" in fields and hasattr(encoder, "output_stride"):
        fields["output_stride"] = encoder.output_stride
    for name in ENCODERS:
        try:
            if _essence(describe(made(name, fields))) == own:
                return name
        except ValueError:
            continue
    return None


def _essence(described: Any) -> Any:
    """A description without what makes no difference to the network."""
    if isinstance(described, dict):
        return {key: _essence(value) for key, value in described.items() if key not in _NOT_COMPUTED}
    return [_essence(each) for each in described] if isinstance(described, list) else described


def never_run(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Variables for what a model has there without ever running it, and which is kept: zeros, and deviations of 1.

    Those are all stages of an encoder of which PSPNet runs three, a classifier, what comes before it, attention to what
    would be joined at the image's own place, and what U-Net++ has at the deepest level of VGG.
    """
    taken = taken_encoder(settings)
    found: dict[str, Any] = {"params": {}, "batch_stats": {}}
    if settings["_model_class"] == "PSPNet" or taken.before_classifier:
        whole, image = taken.make(), jax.ShapeDtypeStruct((1, 64, 64, settings["in_channels"]), "float32")
        levels, shapes = jax.eval_shape(partial(whole.init_with_output, train=False), jax.random.key(0), image)
        found |= {kind: {"encoder": _idle(tree)} for kind, tree in shapes.items()}
        if wide := taken.before_classifier:
            kernel = np.zeros((1, 1, levels[-1].width, wide), np.float32)
            found["params"]["encoder"] |= {"conv_head": {"kernel": kernel}, "bn2": _norm(wide, "scale", "bias")}
            found["batch_stats"]["encoder"]["bn2"] = _norm(wide, "mean", "var")
    if settings["_model_class"] == "DPT":
        width = taken.make().width  # type: ignore[attr-defined]
        kernel, bias = np.zeros((width, 1000), np.float32), np.zeros(1000, np.float32)
        found["params"]["encoder"] = {"norm": _norm(width, "scale", "bias"), "head": {"kernel": kernel, "bias": bias}}
    if settings.get("decoder_attention_type") is not None:
        joined = jax.ShapeDtypeStruct((1, 1, 1, settings["decoder_channels"][-2]), "float32")
        attention = jax.eval_shape(ScSE().init, jax.random.key(0), joined)["params"]
        name = "joined1" if settings["_model_class"] == "Unet" else "joined1_1"
        found["params"]["decoder"] = {name: _idle(attention)}
    if settings["_model_class"] == "UnetPlusPlus" and settings["encoder_name"].startswith("vgg"):
        block = smp_settings.block(settings["decoder_use_norm"])((512, 512))
        deepest = jax.ShapeDtypeStruct((1, 2, 2, 512), "float32")
        like = jax.eval_shape(partial(block.init, train=False), jax.random.key(0), deepest)
        for kind, tree in like.items():
            found[kind].setdefault("decoder", {})["bottleneck"] = _idle(tree)
    return found


def _idle(tree: Any) -> Any:
    def made(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

    return jax.tree_util.tree_map_with_path(made, tree)


def _norm(width: int, *leaves: str) -> Any:
    return _idle({leaf: jax.ShapeDtypeStruct((width,), "float32") for leaf in leaves})
