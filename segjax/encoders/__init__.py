"""Encoders: an image in, one `Level` per resolution out, finest first."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from segjax.encoders.conv import ConvEncoder, vgg16_stages
from segjax.errors import ExperimentError, nearest
from segjax.level import Encoder, Level

BY_NAME: dict[str, Callable[..., nn.Module]] = {
    "vgg16": partial(ConvEncoder, vgg16_stages()),
}
"""Encoders by name, each called as `encoder(block=...)`; the block carries norm, activation, dtype and remat."""


def named(encoder: str | nn.Module, **settings: Callable[..., nn.Module]) -> nn.Module:
    """The encoder of that name, made with these settings; one that is made already stays as it is.

    Raises:
        ExperimentError: there is none of that name; it offers the nearest.
    """
    if not isinstance(encoder, str):
        return encoder
    if encoder not in BY_NAME:
        raise ExperimentError(f"{encoder} is no encoder; name one, such as {nearest(encoder, sorted(BY_NAME))}.")
    return BY_NAME[encoder](**settings)


__all__ = ["BY_NAME", "ConvEncoder", "Encoder", "Level", "named", "vgg16_stages"]
