"""Wrappers between an image as it is stored and the numbers that a model was made for."""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Num

WHITE = {"uint8": 255, "uint16": 65535, "float32": 1}
"""The stored number that statistics count as 1."""


class Normalized(nn.Module):
    """A model that takes images as they are stored: uint8, uint16 or float32, or such numbers as floating point.

    The model sees `((image / white) ** gamma - mean) / std`, channel by channel, in which white is 255 for uint8, 65535
    for uint16 and 1 for float32. A gamma below one brightens: dark images use more of the range.

    Raises:
        ValueError: an image whose channels are not those of `mean`, or whole numbers of another type, when called.

    Examples:
        >>> model = layers.Normalized(layers.ConvBlock((2,)), mean=(0.5,) * 3, std=(0.25,) * 3)
        >>> image = jnp.zeros((1, 8, 8, 3), jnp.uint8)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 8, 8, 2)
    """

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    gamma: float = 1.0
    stored: Literal["uint8", "uint16", "float32"] = "uint8"
    """The numbers that images are stored in."""

    @nn.compact
    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What `model` makes of the normalised image."""
        if not image.shape[-1] == len(self.mean) == len(self.std):
            raise ValueError(
                f"The image has shape {image.shape}, but Normalized has {len(self.mean)} means and {len(self.std)} "
                "standard deviations: give one of each per channel, channels last."
            )
        if not all(each > 0 for each in self.std):
            raise ValueError(
                f"Normalized has the standard deviations {tuple(self.std)}: give numbers above 0, as 1 for a channel "
                "of one value."
            )
        if jnp.issubdtype(image.dtype, jnp.integer) and image.dtype != self.stored:
            raise ValueError(
                f"The image has the type {image.dtype}, but Normalized was made for {self.stored}: give it as the "
                "images are stored that the statistics are of."
            )
        x = (jnp.asarray(image, jnp.float32) / WHITE[self.stored]) ** self.gamma
        mean, std = (jnp.array(each, x.dtype)[None, None, None] for each in (self.mean, self.std))
        return self.model((x - mean) / std, train=train)


class Standardized(nn.Module):
    """A model that takes images of any numbers, and sees each channel of each image with mean 0 and deviation 1.

    For images whose light, haze or units differ from one to the next, as nnU-Net has it for all but CT (Isensee et al.
    2021). What is seen then depends on the whole image: tiles of one image are each standardised by themselves.

    Examples:
        >>> model = layers.Standardized(layers.ConvBlock((2,)))
        >>> image = jnp.zeros((1, 8, 8, 3), jnp.uint8)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 8, 8, 2)
    """

    model: nn.Module

    @nn.compact
    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What `model` makes of the standardised image; a channel of one value is 0 everywhere."""
        x = jnp.asarray(image, jnp.float32)
        # From the first pixel on: the mean of many equal values is rounded, and what is left of them would be divided
        # by almost nothing.
        x = x - x[:, :1, :1]
        x = x - x.mean((1, 2), keepdims=True)
        variance = x.var((1, 2), keepdims=True)
        varies = variance > 0  # the root has no slope at zero
        deviation = jnp.where(varies, jnp.sqrt(jnp.where(varies, variance, 1)), 0)
        return self.model(x / (deviation + 1e-5), train=train)


def inputs_of(model: nn.Module) -> dict[str, Any] | str | None:
    """How a model's images are normalised, as JSON has it, for `with_inputs`; None where it sees them as they are.

    Examples:
        >>> model = layers.Normalized(layers.ConvBlock((2,)), mean=(0.5,), std=(0.25,))
        >>> layers.inputs_of(model)
        {'mean': (0.5,), 'std': (0.25,), 'gamma': 1.0, 'stored': 'uint8'}
    """
    if isinstance(model, Normalized):
        mean, std = (tuple(map(float, each)) for each in (model.mean, model.std))  # where they are numpy's, too
        return {"mean": mean, "std": std, "gamma": float(model.gamma), "stored": model.stored}
    return "standardized" if isinstance(model, Standardized) else None


def with_inputs(model: nn.Module, inputs: Any) -> nn.Module:
    """The model behind the normalisation that `inputs_of` said of another; itself where it said none.

    Examples:
        >>> type(layers.with_inputs(layers.ConvBlock((2,)), "standardized")).__name__
        'Standardized'
    """
    match inputs:
        case {"mean": mean, "std": std, **rest}:
            return Normalized(model, tuple(mean), tuple(std), **rest)
        case "standardized":
            return Standardized(model)
    return model
