"""What the networks of segmentation_models.pytorch share: their settings by its names, and their two ends."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypedDict

import flax.linen as nn
import jax

from segjax.layers import ConvBlock, ScSE, batch_norm, instance_norm
from segjax.models.heads import ImageHead
from segjax.models.segmenter import Segmenter
from segjax.upsampling import Bilinear, Nearest

ALIGNED = partial(Bilinear, align_corners=True)
"""As its heads interpolate."""
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


def segmenter(num_classes: int, encoder: nn.Module, decoder: nn.Module, ends: Ends, **made: Any) -> Segmenter:
    """A network of its, with further fields of `Segmenter`."""
    activation = ends.get("activation")
    return Segmenter(
        num_classes,
        encoder,
        decoder,
        to_image=ALIGNED,
        places=(1, 2),
        activation=chosen("activation", None if activation == "identity" else activation, ACTIVATIONS),
        image_head=_image_head(ends.get("aux_params")),
        **made,
    )


def _image_head(said: Mapping[str, Any] | None) -> ImageHead | None:
    if said is None:
        return None
    fields = {key: said[key] for key in ("pooling", "dropout") if key in said}
    activation = chosen("activation of aux_params", said.get("activation"), ACTIVATIONS)
    return ImageHead(said["classes"], activation=activation, **fields)


def interpolation(name: str) -> Callable[..., nn.Module]:
    """The upsampling of its decoders by that name."""
    return chosen("decoder_interpolation", name, INTERPOLATIONS)


def attention(name: str | None) -> Callable[..., nn.Module] | None:
    """The attention of its decoders by that name."""
    return chosen("decoder_attention_type", name, ATTENTIONS)


def block(norm: str | bool) -> Callable[..., nn.Module]:
    """Convolutions with the normalisation of a name of its."""
    if isinstance(norm, bool):
        norm = "batchnorm" if norm else "identity"
    made = chosen("decoder_use_norm", norm, NORMS)
    return ConvBlock if made is batch_norm else partial(ConvBlock, norm=made)


def stride(of_decoder: int, upsampling: int) -> int:
    """Of the logits that its `upsampling` brings to the image, where the decoder ends at `of_decoder`.

    Raises:
        ValueError: it does not divide that stride.
    """
    if upsampling < 1 or of_decoder % upsampling:
        raise ValueError(f"upsampling is {upsampling}; of a decoder that ends at stride {of_decoder}, give a divisor.")
    return of_decoder // upsampling


def chosen(setting: str, value: Any, known: Mapping[str, Any]) -> Any:
    """What a setting's value stands for.

    Raises:
        ValueError: it is none of those that are known.
    """
    if value is None and "identity" not in known:
        return None
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{setting} is {value!r}, and segjax has {', '.join(known)}.")
    return known[value]
