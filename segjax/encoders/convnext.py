"""ConvNeXt (Liu et al. 2022) and ConvNeXt V2 (Woo et al. 2023), by timm's names."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import truncated_normal, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check, check_numbers
from segjax.encoders.dilation import Steps, dilated
from segjax.layers import Conv, DropPath, drop_path_rates, pad_up
from segjax.layers.transformer import dense, gelu, layer_norm
from segjax.level import Level, Parts, level_at
from segjax.ops.precision import widen

TORCH_UNUSED = r"head\.|norm_pre\."
"""Names of timm's files that the encoder has no place for: the classifier's and the norm before it."""

_SCALE = 1e-6


class ConvNeXt(nn.Module):
    """Stages of wide depthwise convolutions, each followed by a perceptron; non-overlapping patches between stages.

    What does not divide into patches is padded with zeros at the bottom and right.

    Examples:
        >>> encoder = encoders.ConvNeXt((4, 8, 8, 8), (1, 1, 1, 1))
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(4, (1, 9, 12, 4)), (8, (1, 5, 6, 8)), (16, (1, 3, 3, 8)), (32, (1, 2, 2, 8))]
    """

    widths: tuple[int, ...]
    """Channels of each of the four stages."""
    blocks: tuple[int, ...]
    """Blocks of each stage."""
    response_norm: bool = False
    """Global response normalisation instead of a scale for each block: V2."""
    convolutional_mlp: bool = False
    """Whether the perceptrons' weights are laid out as 1x1 convolutions, as in files of the smallest members."""
    depth: int = 4
    """How many levels are made."""
    output_stride: int = 32
    """8, 16 or 32: beyond it stages dilate instead of striding."""
    drop_path: float = 0.0
    """The share of images that the last block is left out for while training; earlier ones less."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each block again instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        return (("stem",), *((f"stages_{i}",) for i in range(self.depth)))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """Levels at strides 4, 8, 16 and 32, or at most `output_stride`."""
        check_numbers(widths=self.widths, blocks=self.blocks)
        check(image, self.depth, min(len(self.widths), len(self.blocks)))
        block = nn.remat(_Block, static_argnums=(2,)) if self.remat else _Block
        block = partial(block, self.response_norm, self.convolutional_mlp, self.dtype)
        rates = drop_path_rates(self.drop_path, self.blocks)
        patches = Conv(self.widths[0], 4, "VALID", stride=4, dtype=self.dtype, name="stem_0")
        x = layer_norm(dtype=self.dtype, name="stem_1")(patches(pad_up(image, 4)))
        levels: list[Level] = []
        for i, steps in enumerate(dilated((1, 2, 2, 2), 4, self.output_stride)[: self.depth]):
            x = _Stage(self.widths[i], i == 0, steps, rates[i], block, self.dtype, name=f"stages_{i}")(x, train=train)
            levels.append(level_at(image, steps.output_stride, x))
        return tuple(levels)


class _Stage(nn.Module):
    width: int
    first: bool
    """The stem has made the patches of the first stage."""
    steps: Steps
    rates: list[float]
    block: Callable[..., nn.Module]
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        if not self.first:
            x = layer_norm(dtype=self.dtype, name="downsample_0")(x)
            if self.steps.stride == 1:
                where = {"padding": "SAME", "dilation": self.steps.first_dilation}
            else:
                x, where = pad_up(x, self.steps.stride), {"padding": "VALID", "stride": self.steps.stride}
            x = Conv(self.width, 2, **where, dtype=self.dtype, name="downsample_1")(x)
        for i, rate in enumerate(self.rates):
            x = self.block(dilation=self.steps.dilation, drop_path=rate, name=f"blocks_{i}")(x, train)
        return x


class _Block(nn.Module):
    response_norm: bool
    convolutional_mlp: bool
    dtype: DTypeLike
    dilation: int
    drop_path: float

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        width = x.shape[-1]
        depthwise = partial(Conv, dilation=self.dilation, groups=width, dtype=self.dtype, name="conv_dw")
        y = depthwise(width, 7, 3 * self.dilation)(x)
        y = layer_norm(dtype=self.dtype, name="norm")(y)
        y = _Mlp(4 * width, self.response_norm, self.convolutional_mlp, self.dtype, name="mlp")(y)
        if not self.response_norm:
            gamma = self.param("gamma", nn.initializers.constant(_SCALE), (width,), jnp.float32).astype(self.dtype)
            y = y * gamma[None, None, None]
        return x + DropPath(self.drop_path)(y, train=train)


class _Mlp(nn.Module):
    hidden: int
    response_norm: bool
    convolutional: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        layer = partial(Conv, window=1, kernel_init=truncated_normal(0.02)) if self.convolutional else dense
        hidden = gelu(layer(self.hidden, dtype=self.dtype, name="fc1")(x))
        if self.response_norm:
            hidden = _ResponseNorm(self.dtype, name="grn")(hidden)
        return layer(x.shape[-1], dtype=self.dtype, name="fc2")(hidden)


class _ResponseNorm(nn.Module):
    """Channels compete: each is scaled by its norm over the image beside the mean of all norms."""

    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        scale = self.param("scale", zeros, (x.shape[-1],), jnp.float32).astype(self.dtype)
        bias = self.param("bias", zeros, (x.shape[-1],), jnp.float32).astype(self.dtype)
        wide = widen(x)
        energy = jnp.square(wide).sum((1, 2), keepdims=True)
        # The root has no slope at zero.
        norm = jnp.where(energy > 0, jnp.sqrt(jnp.where(energy > 0, energy, 1)), 0)
        share = norm / (norm.mean(-1, keepdims=True) + 1e-6)
        return x + x * share.astype(self.dtype) * scale[None, None, None] + bias[None, None, None]


convnext_tiny: partial[ConvNeXt] = partial(ConvNeXt, (96, 192, 384, 768), (3, 3, 9, 3))
convnext_small: partial[ConvNeXt] = partial(ConvNeXt, (96, 192, 384, 768), (3, 3, 27, 3))
convnext_base: partial[ConvNeXt] = partial(ConvNeXt, (128, 256, 512, 1024), (3, 3, 27, 3))
convnext_large: partial[ConvNeXt] = partial(ConvNeXt, (192, 384, 768, 1536), (3, 3, 27, 3))

_v2 = partial(ConvNeXt, response_norm=True)
_small_v2 = partial(_v2, convolutional_mlp=True)
convnextv2_atto: partial[ConvNeXt] = partial(_small_v2, (40, 80, 160, 320), (2, 2, 6, 2))
convnextv2_femto: partial[ConvNeXt] = partial(_small_v2, (48, 96, 192, 384), (2, 2, 6, 2))
convnextv2_pico: partial[ConvNeXt] = partial(_small_v2, (64, 128, 256, 512), (2, 2, 6, 2))
convnextv2_nano: partial[ConvNeXt] = partial(_small_v2, (80, 160, 320, 640), (2, 2, 8, 2))
convnextv2_tiny: partial[ConvNeXt] = partial(_v2, (96, 192, 384, 768), (3, 3, 9, 3))
convnextv2_small: partial[ConvNeXt] = partial(_v2, (96, 192, 384, 768), (3, 3, 27, 3))
convnextv2_base: partial[ConvNeXt] = partial(_v2, (128, 256, 512, 1024), (3, 3, 27, 3))
convnextv2_large: partial[ConvNeXt] = partial(_v2, (192, 384, 768, 1536), (3, 3, 27, 3))
convnextv2_huge: partial[ConvNeXt] = partial(_v2, (352, 704, 1408, 2816), (3, 3, 27, 3))
