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
from segjax.level import Level
from segjax.upsampling.base import Upsampling


def bilinear_init(
    key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> Float[Array, "kh kw inputs outputs"]:
    """A transposed convolution's kernel that interpolates bilinearly (Long et al. 2015).

    The stride is that whose support the window is: 2 for 3 and 4, 8 for 16. Each channel goes to itself where there
    are as many outputs as inputs; otherwise a random LeCun-normal matrix mixes them.

    Examples:
        >>> upsampling.bilinear_init(jax.random.key(0), (4, 4, 1, 1))[1, :, 0, 0].tolist()
        [0.1875, 0.5625, 0.5625, 0.1875]
    """
    *window, inputs, outputs = shape
    taps = []
    for size in window:
        stride = (size + 1) // 2
        taps.append(1 - abs(jnp.arange(size, dtype=float) - (size - 1) / 2) / stride)
    mix = jnp.eye(inputs) if inputs == outputs else lecun_normal()(key, (inputs, outputs))
    return jnp.einsum("i,j,cd->ijcd", taps[0], taps[1], mix).astype(dtype)


def icnr_init(factor: int, init: Initializer = lecun_normal()) -> Initializer:
    """An initialiser that starts pixel shuffle as a convolution and nearest-neighbour upsampling (Aitken et al. 2017).

    All factor**2 phases of an output channel start from one kernel drawn by `init`, so there is no checkerboard to be
    unlearned.

    Examples:
        >>> kernel = upsampling.icnr_init(2)(jax.random.key(0), (1, 1, 3, 4))
        >>> bool((kernel == kernel[..., :1]).all())  # the four of a pixel begin alike
        True
    """

    def initialise(key, shape, dtype=jnp.float32, **kwargs):
        *window, outputs = shape
        return jnp.repeat(init(key, (*window, outputs // factor**2), dtype, **kwargs), factor**2, axis=-1)

    return initialise


class ConvTranspose(Upsampling):
    """Transposed convolution of stride `factor`, padded to grow exactly `factor` times.

    The window is the stride and `overlap` more: 2x2 at stride 2 by default, 3x3 with an overlap of 1, 4x4 with 2.

    Raises:
        ValueError: a negative overlap, which would leave pixels that nothing reaches, when called.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.ConvTranspose(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    overlap: int | None = 0
    """Rows and columns that neighbouring windows share; None for as many as bilinear interpolation's do."""
    use_bias: bool = True
    kernel_init: Initializer | None = None
    """None keeps the variance: an output pixel sees one tap in `factor**2`."""

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Every pixel spread over a window."""
        overlap = self.factor - self.factor % 2 if self.overlap is None else self.overlap
        window = self.factor + overlap
        if overlap < 0:
            raise ValueError(
                f"A transposed convolution of stride {self.factor} with a {window}x{window} window leaves holes: "
                "take an overlap of 0 or more."
            )
        width = self.width(x)
        init = self.kernel_init or variance_scaling(self.factor**2, "fan_in", "truncated_normal")
        kernel = self.param("kernel", init, (window, window, x.shape[-1], width), jnp.float32)
        # An odd overlap cannot be split evenly: one row and column more are cut at the start than at the end.
        padding = (overlap + 1) // 2
        y = ops.conv_transpose(
            x, kernel.astype(x.dtype), self.factor, padding=padding, output_padding=2 * padding - overlap
        )
        if not self.use_bias:
            return y
        return y + self.param("bias", zeros, (width,), jnp.float32).astype(x.dtype)[None, None, None]


bilinear_conv_transpose: partial[ConvTranspose] = partial(
    ConvTranspose, overlap=None, use_bias=False, kernel_init=bilinear_init
)
"""FCN's: a transposed convolution that starts as bilinear interpolation."""


class PixelShuffle(Upsampling):
    """A convolution to `factor**2` times the channels, which then become space (Shi et al. 2016).

    With `icnr` all phases of a pixel start from one kernel, see `icnr_init`.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.PixelShuffle(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    window: int = 3
    kernel_init: Initializer = lecun_normal()
    icnr: bool = False

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Channels turned into space."""
        init = icnr_init(self.factor, self.kernel_init) if self.icnr else self.kernel_init
        channels = self.factor**2 * self.width(x)
        window = (self.window, self.window)
        phases = nn.Conv(channels, window, kernel_init=init, dtype=x.dtype, name="conv")(x)
        return ops.pixel_shuffle(phases, self.factor)


class ResizeConv(Upsampling):
    """Nearest-neighbour upsampling and then a convolution, which leaves no checkerboard (Odena et al. 2016).

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.ResizeConv(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    window: int = 3
    kernel_init: Initializer = lecun_normal()

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Repeated pixels, convolved."""
        width = self.width(x)
        kernel = self.param("kernel", self.kernel_init, (self.window, self.window, x.shape[-1], width), jnp.float32)
        bias = self.param("bias", zeros, (width,), jnp.float32)
        return ops.resize_conv(x, kernel.astype(x.dtype), self.factor) + bias.astype(x.dtype)[None, None, None]
