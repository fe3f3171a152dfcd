"""Convolutions with what follows them: the block that plain encoders and decoders are made of."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Initializer
from jax.nn.initializers import he_normal, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.errors import counts
from segjax.layers.drawn import drawn
from segjax.layers.norm import batch_norm
from segjax.ops.resize_conv import conv_of_nearest


class Conv(nn.Module):
    """A convolution by `ops.conv`, with the parameters of `nn.Conv`: kernel, and bias if it has one.

    Examples:
        >>> module = layers.Conv(6, stride=2)
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 4, 4, 6)
    """

    width: int
    window: int = 3
    padding: str | int = "SAME"
    """"SAME" rounds up and pads as TensorFlow does; a number is torch's padding, the same on all sides."""
    use_bias: bool = True
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    """How many groups of channels are convolved apart; as many as channels is a depthwise convolution."""
    kernel_init: Initializer = he_normal()
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"] | None, coarse: Float[Array, "n h//2 w//2 b"] | None = None
    ) -> Float[Array, "n h2 w2 d"]:
        """Features of the same size unless `padding` or `stride` says otherwise.

        What nearest-neighbour upsampling by 2 makes of `coarse` stands before the channels of `x`, in one step and
        for a convolution that keeps the size alone.

        Raises:
            ExperimentError: a field that is no whole number from 1 on.
        """
        counts(1, width=self.width, window=self.window, stride=self.stride, dilation=self.dilation, groups=self.groups)
        before = 0 if coarse is None else coarse.shape[-1]
        channels = before + (0 if x is None else x.shape[-1])
        shape = (self.window, self.window, channels // self.groups, self.width)
        kernel = self.param("kernel", drawn(self.kernel_init), shape, jnp.float32).astype(self.dtype)
        parts = []
        if coarse is not None:
            parts.append(conv_of_nearest(jnp.asarray(coarse, self.dtype), kernel[:, :, :before]))
        if x is not None:
            steps = {"stride": self.stride, "dilation": self.dilation, "groups": self.groups}
            parts.append(ops.conv(jnp.asarray(x, self.dtype), kernel[:, :, before:], self.padding, **steps))
        if self.use_bias:
            parts.append(self.param("bias", zeros, (self.width,), jnp.float32).astype(self.dtype)[None, None, None])
        return reduce(jnp.add, parts)


class ConvBlock(nn.Module):
    """Convolutions of stride 1, each with normalisation and an activation: a stage of VGG or U-Net.

    `widths` has one entry per convolution; with none the block is the identity. A convolution has a bias only where no
    normalisation follows, which would cancel it. Kernels start He-normal (He et al. 2015). A model's norm, activation,
    dtype and remat are said here, once: `partial(ConvBlock, norm=None)` is what encoders and decoders take as `block`.

    Examples:
        >>> module = layers.ConvBlock((6, 8))
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 8)
    """

    widths: Sequence[int]
    window: int = 3
    padding: str | int = "SAME"
    dilation: int = 1
    norm: Callable[..., nn.Module] | None = batch_norm
    """Called as `norm(use_running_average=..., dtype=..., name=...)`, as `nn.BatchNorm` is; None for none."""
    activation: Callable[[Array], Array] | None = nn.relu
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes the block again, instead of keeping its activations (Chen et al. 2016).
    On a CPU it saves nothing: XLA finds there that both computations are the same and does one."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"] | None, *, train: bool, coarse: Float[Array, "n h//2 w//2 b"] | None = None
    ) -> Float[Array, "n h2 w2 d"]:
        """Features of the same size unless `padding` says otherwise, `widths[-1]` channels; `coarse` as of `Conv`."""

        def convolve(block: ConvBlock, x: Any, coarse: Array | None) -> Array:
            for i, width in enumerate(block.widths, start=1):
                how = {"dilation": block.dilation, "dtype": block.dtype, "name": f"conv{i}"}
                x = Conv(width, block.window, block.padding, block.norm is None, **how)(x, coarse if i == 1 else None)
                if block.norm is not None:
                    x = block.norm(use_running_average=not train, dtype=block.dtype, name=f"norm{i}")(x)
                if block.activation is not None:
                    x = block.activation(x)
            return x

        return (nn.remat(convolve) if self.remat else convolve)(self, x, coarse)
