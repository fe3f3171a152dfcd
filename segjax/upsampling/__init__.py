"""Upsamplers: a small Linen module each, called as `upsample(x, to)`; any decoder takes any of them."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import flax.linen as nn

from segjax.errors import by_name
from segjax.upsampling.base import Upsampling
from segjax.upsampling.dynamic import Carafe, DySample
from segjax.upsampling.fixed import Bilinear, MaxUnpool, Nearest
from segjax.upsampling.guided import Fade, Sapa
from segjax.upsampling.learned import (
    ConvTranspose,
    PixelShuffle,
    ResizeConv,
    bilinear_conv_transpose,
    bilinear_init,
    icnr_init,
)

Upsampler = Literal[
    "nearest",
    "bilinear",
    "max_unpool",
    "max_unpool_of_skip",
    "conv_transpose_2x2",
    "conv_transpose_3x3",
    "conv_transpose_bilinear",
    "pixel_shuffle",
    "pixel_shuffle_icnr",
    "resize_conv",
    "carafe",
    "dysample",
    "fade",
    "sapa",
]
"""The names of the upsamplers, for a command line's choices; 2x2 and 3x3 are windows at factor 2, and grow with it."""

BY_NAME: dict[str, Callable[..., Upsampling]] = {
    "nearest": Nearest,
    "bilinear": Bilinear,
    "max_unpool": MaxUnpool,
    "max_unpool_of_skip": partial(MaxUnpool, of_skip=True),
    "conv_transpose_2x2": ConvTranspose,
    "conv_transpose_3x3": partial(ConvTranspose, overlap=1),
    "conv_transpose_bilinear": bilinear_conv_transpose,
    "pixel_shuffle": PixelShuffle,
    "pixel_shuffle_icnr": partial(PixelShuffle, icnr=True),
    "resize_conv": ResizeConv,
    "carafe": Carafe,
    "dysample": DySample,
    "fade": Fade,
    "sapa": Sapa,
}
"""What a decoder takes as its `upsample`, by name."""


def named(upsample: str | Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The upsampler of that name; one that is given as an object stays as it is.

    Raises:
        ExperimentError: there is none of that name; it offers the nearest.

    Examples:
        >>> upsampling.named("dysample").__name__
        'DySample'
    """
    return by_name(upsample, BY_NAME, "upsampler") if isinstance(upsample, str) else upsample


def to_image(upsample: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """What climbs to the image where a decoder climbs by an upsampler: the same, or `Bilinear`.

    It is `Bilinear` for `MaxUnpool`, `Fade` and `Sapa`, which read the level that they climb to: the image's own place
    has neither indices nor features.

    Examples:
        >>> [upsampling.to_image(one).__name__ for one in (upsampling.DySample, upsampling.Fade)]
        ['DySample', 'Bilinear']
    """
    return Bilinear if _reads_level(upsample) else upsample


def places(upsample: Callable[..., nn.Module]) -> tuple[int, ...]:
    """The strides, finer than any level of an encoder, that a decoder climbs over by an upsampler: `(1,)`, or none.

    None for those that read the level that they climb to: such a decoder ends at the encoder's finest level.

    Examples:
        >>> [upsampling.places(one) for one in (upsampling.DySample, upsampling.Fade)]
        [(1,), ()]
    """
    return () if _reads_level(upsample) else (1,)


def _reads_level(upsample: Callable[..., nn.Module]) -> bool:
    kind = upsample.func if isinstance(upsample, partial) else upsample
    return isinstance(kind, type) and issubclass(kind, (MaxUnpool, Fade, Sapa))


__all__ = [
    "BY_NAME",
    "Bilinear",
    "Carafe",
    "ConvTranspose",
    "DySample",
    "Fade",
    "MaxUnpool",
    "Nearest",
    "PixelShuffle",
    "ResizeConv",
    "Sapa",
    "Upsampler",
    "Upsampling",
    "bilinear_conv_transpose",
    "bilinear_init",
    "icnr_init",
    "named",
    "places",
    "to_image",
]
