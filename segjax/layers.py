"""The Linen layers that encoders and models are made of."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import he_normal
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from segjax import ops

batch_norm = partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)
"""Batch normalisation with torch's momentum and epsilon; its statistics stay float32 whatever is computed in."""


class ConvBlock(nn.Module):
    """Convolutions of stride 1, each with normalisation and an activation: a stage of VGG or U-Net.

    `widths` has one entry per convolution; with none the block is the identity. A convolution has a bias only where no
    normalisation follows, which would cancel it. Kernels start He-normal (He et al. 2015).
    """

    widths: Sequence[int]
    window: int = 3
    padding: str | int = "SAME"
    norm: Callable[..., nn.Module] | None = batch_norm
    """Called as `norm(use_running_average=..., dtype=..., name=...)`, as `nn.BatchNorm` is; None for none."""
    activation: Callable[[Array], Array] | None = nn.relu
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes the block again, instead of keeping its activations (Chen et al. 2016).
    On a CPU it saves nothing: XLA finds there that both computations are the same and does one."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w d"]:
        """Features of the same size unless `padding` says otherwise, `widths[-1]` channels."""
        convolve = partial(ConvBlock._convolve, train=train)
        return (nn.remat(convolve) if self.remat else convolve)(self, x)

    def _convolve(self, x: Array, *, train: bool) -> Array:
        for i, width in enumerate(self.widths, start=1):
            x = nn.Conv(
                width,
                (self.window, self.window),
                padding=self.padding,
                use_bias=self.norm is None,
                kernel_init=he_normal(),
                dtype=self.dtype,
                conv_general_dilated_cls=lambda: _conv,
                name=f"conv{i}",
            )(x)
            if self.norm is not None:
                x = self.norm(use_running_average=not train, dtype=self.dtype, name=f"norm{i}")(x)
            if self.activation is not None:
                x = self.activation(x)
        return x


def _conv(x: Array, kernel: Array, strides: Any, padding: Any, **_: Any) -> Array:
    """What `nn.Conv` calls, where it has stride 1 and no dilation or groups."""
    return ops.conv(x, kernel, padding)


class Normalized(nn.Module):
    """A model that takes images as they are stored: uint8, or float in 0..255.

    The model sees `((image / 255) ** gamma - mean) / std`, channel by channel. A gamma below one brightens: dark
    pictures use more of the range. Raises ValueError where the image's channels are not those of `mean`.
    """

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    gamma: float = 1.0

    @nn.compact
    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What `model` makes of the normalised image."""
        if not image.shape[-1] == len(self.mean) == len(self.std):
            raise ValueError(
                f"The image has shape {image.shape}, but Normalized has {len(self.mean)} means and {len(self.std)} "
                "standard deviations: give one of each per channel, channels last."
            )
        x = (jnp.asarray(image, jnp.float32) / 255) ** self.gamma
        return self.model((x - jnp.array(self.mean)) / jnp.array(self.std), train=train)


class Standardized(nn.Module):
    """A model that takes images of any numbers, and sees each channel of each image with mean 0 and deviation 1.

    For images whose light, haze or units differ from one to the next, as nnU-Net has it for all but CT (Isensee et al.
    2021). What is seen then depends on the whole image: tiles of one picture are each standardised by themselves.
    """

    model: nn.Module

    @nn.compact
    def __call__(self, image: Num[Array, "n h w c"], *, train: bool) -> Any:
        """What `model` makes of the standardised image; a channel of one value is 0 everywhere."""
        x = jnp.asarray(image, jnp.float32)
        x = x - x.mean((1, 2), keepdims=True)
        return self.model(x / (x.std((1, 2), keepdims=True) + 1e-5), train=train)
