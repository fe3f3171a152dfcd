"""What the stages of published encoders are made of: normalised convolutions, and blocks in sequence."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.layers.conv import Conv
from segjax.layers.norm import batch_norm


def normalized_conv(
    x: Float[Array, "n h w c"],
    width: int,
    window: int,
    names: tuple[str, str],
    *,
    train: bool,
    padding: str = "symmetric",
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    norm: Callable[..., nn.Module] | None = batch_norm,
    dtype: DTypeLike = jnp.float32,
) -> Float[Array, "n h2 w2 d"]:
    """A convolution and the normalisation after it, both made inside the module that calls this.

    Without normalisation, as where it was folded into the kernels, the convolution has a bias.

    `names` are those of the two, which torch's modules keep side by side. `padding` is "SAME", as TensorFlow has it, or
    "symmetric", as torch has it: half of the dilated window on each side. The size is that of `x` by the stride,
    rounded up.

    Examples:
        >>> class Conv(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x):
        ...         return layers.normalized_conv(x, 4, 3, ("conv", "bn"), train=False, stride=2)
        ...
        >>> run = lambda x: Conv().init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 3))).shape
        (1, 4, 4, 4)
    """
    pads = dilation * (window // 2) if padding == "symmetric" else padding
    conv, after = names
    y = Conv(width, window, pads, norm is None, stride, dilation, groups, dtype=dtype, name=conv)(x)
    return y if norm is None else norm(use_running_average=not train, dtype=dtype, name=after)(y)


def in_sequence(
    module: nn.Module, blocks: Sequence[Callable[[], nn.Module]], x: Array, *, train: bool, remat: bool
) -> Array:
    """What blocks make of `x`, one after the other, each made here as a part of `module`, which calls this.

    With `remat` the backward pass computes all of them again, instead of keeping their activations (Chen et al. 2016).

    Examples:
        >>> class Two(nn.Module):
        ...     @nn.compact
        ...     def __call__(self, x):
        ...         blocks = [lambda: layers.ConvBlock((4,))] * 2
        ...         return layers.in_sequence(self, blocks, x, train=False, remat=False)
        ...
        >>> run = lambda x: Two().init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 3))).shape
        (1, 8, 8, 4)
    """

    def run(module: nn.Module, x: Array) -> Array:
        for block in blocks:
            x = block()(x, train=train)
        return x

    return (nn.remat(run) if remat else run)(module, x)
