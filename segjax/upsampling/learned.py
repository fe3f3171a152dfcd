"""Upsamplers with one learned kernel for all pixels: transposed convolution, pixel shuffle, resize-convolution."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.nn.initializers import lecun_normal, variance_scaling, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.upsampling.base import Upsampling
from segjax.upsampling.level import Level


def bilinear_init(
    key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Float[Array, "kh kw inputs outputs"]:
    """A transposed convolution's kernel that interpolates bilinearly (Long et al. 2015).

    The stride is that whose support the window is: 2 for 3 and 4, 8 for 16. Each channel goes to itself where there
    are as many outputs as inputs; otherwise a random LeCun-normal matrix mixes them.
    """
    *window, inputs, outputs = shape
    taps = []
    for size in window:
        stride = (size + 1) // 2
        taps.append(1 - abs(jnp.arange(size) - (size - 1) / 2) / stride)
    mix = jnp.eye(inputs) if inputs == outputs else lecun_normal()(key, (inputs, outputs))
    return jnp.einsum("i,j,cd->ijcd", taps[0], taps[1], mix).astype(dtype)


def icnr_init(factor: int, init: Initializer = lecun_normal()) -> Initializer:
    """An initialiser that starts pixel shuffle as a convolution and nearest-neighbour upsampling (Aitken et al. 2017).

    All factor**2 phases of an output channel start from one kernel drawn by `init`, so there is no checkerboard to be
    unlearned.
    """

    def initialise(key, shape, dtype=jnp.float32, **kwargs):
        *window, outputs = shape
        return jnp.repeat(init(key, (*window, outputs // factor**2), dtype, **kwargs), factor**2, axis=-1)

    return initialise


class ConvTranspose(Upsampling):
    """Transposed convolution of stride `factor`, padded to grow exactly `factor` times.

    `window` None is twice the stride, less one where that is odd: the support of bilinear interpolation. The default
    start keeps the variance at stride 2, where an output pixel sees a quarter of the taps. Raises ValueError where the
    window is smaller than the stride, which would leave pixels that nothing reaches.
    """

    window: int | None = 2
    use_bias: bool = True
    kernel_init: Initializer = variance_scaling(4.0, "fan_in", "truncated_normal")

    def grow(self, x: Float[Array, "n h w c"], level: Level) -> Float[Array, "n big_h big_w d"]:
        """Every pixel spread over a window."""
        window = 2 * self.factor - self.factor % 2 if self.window is None else self.window
        excess = window - self.factor
        if excess < 0:
            raise ValueError(
                f"A transposed convolution of stride {self.factor} with a {window}x{window} window leaves holes: "
                f"take a window of {self.factor} or more."
            )
        width = self.width(x)
        kernel = self.param("kernel", self.kernel_init, (window, window, x.shape[-1], width), jnp.float32)
        # An odd excess cannot be split evenly: one row and column more are cut at the start than at the end.
        padding = (excess + 1) // 2
        y = ops.conv_transpose(
            x, kernel.astype(self.dtype), self.factor, padding=padding, output_padding=2 * padding - excess
        )
        if not self.use_bias:
            return y
        return y + self.param("bias", zeros, (width,), jnp.float32).astype(self.dtype)


bilinear_conv_transpose = partial(ConvTranspose, window=None, use_bias=False, kernel_init=bilinear_init)
"""FCN's: a transposed convolution that starts as bilinear interpolation."""


class PixelShuffle(Upsampling):
    """A convolution to `factor**2` times the channels, which then become space (Shi et al. 2016).

    With `icnr` all phases of a pixel start from one kernel, see `icnr_init`.
    """

    window: int = 3
    kernel_init: Initializer = lecun_normal()
    icnr: bool = False

    def grow(self, x: Float[Array, "n h w c"], level: Level) -> Float[Array, "n big_h big_w d"]:
        """Channels turned into space."""
        init = icnr_init(self.factor, self.kernel_init) if self.icnr else self.kernel_init
        channels = self.factor**2 * self.width(x)
        window = (self.window, self.window)
        phases = nn.Conv(channels, window, kernel_init=init, dtype=self.dtype, name="conv")(x)
        return ops.pixel_shuffle(phases, self.factor)


class ResizeConv(Upsampling):
    """Nearest-neighbour upsampling and then a convolution, which leaves no checkerboard (Odena et al. 2016)."""

    window: int = 3
    kernel_init: Initializer = lecun_normal()

    def grow(self, x: Float[Array, "n h w c"], level: Level) -> Float[Array, "n big_h big_w d"]:
        """Repeated pixels, convolved."""
        width = self.width(x)
        kernel = self.param("kernel", self.kernel_init, (self.window, self.window, x.shape[-1], width), jnp.float32)
        bias = self.param("bias", zeros, (width,), jnp.float32)
        return ops.resize_conv(x, kernel.astype(self.dtype), self.factor) + bias.astype(self.dtype)
