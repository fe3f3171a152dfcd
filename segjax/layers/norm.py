"""Normalisation layers, for a block's `norm`."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn.initializers import ones, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.errors import ExperimentError
from segjax.ops.precision import at_least_float32


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe and Szegedy 2015), with the parameters, statistics and numbers of `nn.BatchNorm`.

    What is done to a channel is put together to one factor and one number to add, as torch does it: the centred
    features, which the backward pass would keep, are never there. The variance that is kept is Flax's, the batch's own:
    torch keeps that of n - 1 values. It is the mean of the squares less the square of the mean, and 0 at the least, as
    Flax's: of features around 1,000 that deviate by 1, float32 leaves it one digit, and around 10,000 none.

    Examples:
        >>> module = layers.batch_norm(use_running_average=False)
        >>> x = 5 + 3 * jax.random.normal(jax.random.key(0), (2, 8, 8, 4))
        >>> y, _ = module.init_with_output(jax.random.key(1), x)
        >>> bool(jnp.abs(y.mean((0, 1, 2))).max() < 1e-4)
        True
    """

    momentum: float
    """How much of the running statistics a step keeps."""
    epsilon: float
    """Added to the variance."""
    use_running_average: bool | None = None
    """Whether the running statistics normalise, instead of the batch's; here, or when it is called."""
    dtype: DTypeLike | None = None
    """Of the result, by default that of features and parameters together; statistics are float32 at least."""
    axis_name: str | None = None
    """Of the devices whose shares are one batch, under `pmap`."""

    @nn.compact
    def __call__(self, x: Float[Array, "... c"], use_running_average: bool | None = None) -> Float[Array, "... c"]:
        """Features of which each channel has mean 0 and variance 1 before it is scaled and moved.

        Raises:
            ExperimentError: it trains on one image whose features are 1x1, which it would turn into zero, or on none.
        """
        average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        channels = x.shape[-1:]
        mean_kept = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var_kept = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", ones, channels, jnp.float32)
        bias = self.param("bias", zeros, channels, jnp.float32)
        dtype = jnp.dtype(jnp.result_type(x, scale) if self.dtype is None else self.dtype)
        if average:
            mean, var = mean_kept.value, var_kept.value
        elif self.is_initializing():
            mean, var = _moments(x, dtype, None)
        else:
            # Where there is an axis, other devices have other values.
            if self.axis_name is None and (values := math.prod(x.shape[:-1])) in (0, 1):
                has = "one value a channel, which it would turn into zero" if values else "no value to learn from"
                raise ExperimentError(
                    f"Batch normalisation of features of shape {x.shape} has {has}: train with more images a step, or "
                    "larger ones."
                )
            mean, var = _moments(x, dtype, self.axis_name)
            with jax.numpy_dtype_promotion("standard"):  # the moments of float64 are of it, what is kept may be float32
                mean_kept.value = self.momentum * mean_kept.value + (1 - self.momentum) * mean
                var_kept.value = self.momentum * var_kept.value + (1 - self.momentum) * var
        with jax.numpy_dtype_promotion("standard"):
            return _normalised(x, mean, var, scale, bias, self.epsilon, dtype)


# Both are traced and differentiated once for all layers of a shape.


@partial(jax.jit, static_argnums=(1, 2))
def _moments(x: Array, dtype: np.dtype, axis_name: str | None) -> tuple[Array, Array]:
    """Mean and (biased) variance of each channel, of all devices where they are named; never below zero by rounding."""
    x = x.astype(at_least_float32(dtype))
    axes = tuple(range(x.ndim - 1))
    mean, square = x.mean(axes), (x * x).mean(axes)
    if axis_name is not None:
        mean, square = lax.pmean((mean, square), axis_name)
    return mean, jnp.maximum(square - lax.square(mean), 0)


@partial(jax.jit, static_argnums=(5, 6))
def _normalised(x: Array, mean: Array, var: Array, scale: Array, bias: Array, epsilon: float, dtype: np.dtype) -> Array:
    x = x.astype(at_least_float32(dtype))
    factor = scale * lax.rsqrt(var + epsilon)
    factor, shift = (lax.broadcast_to_rank(each, x.ndim) for each in (factor, bias - mean * factor))
    return (x * factor + shift).astype(dtype)


BATCH_NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm, BatchNorm)
"""Whoever wrote the model: both have `use_running_average` and `axis_name`."""

batch_norm: partial[BatchNorm] = partial(BatchNorm, momentum=0.9, epsilon=1e-5)
"""Batch normalisation with torch's momentum and epsilon; its statistics stay float32 whatever is computed in."""


class _Promoting:
    """One of Flax's norms, which leave it to jax what 16 bits are computed in, where jax is told to promote nothing."""

    def __call__(self, x: Float[Array, "... c"]) -> Float[Array, "... c"]:
        with jax.numpy_dtype_promotion("standard"):
            return super().__call__(x)  # type: ignore[misc]


class LayerNorm(_Promoting, nn.LayerNorm):
    """Normalisation of each place over its channels (Ba et al. 2016), with the parameters and numbers of Flax's.

    Examples:
        >>> module = layers.norm.LayerNorm(dtype=jnp.bfloat16)
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 4), jnp.bfloat16)).dtype.name
        'bfloat16'
    """


class _GroupNorm(_Promoting, nn.GroupNorm):
    """By groups of channels."""


class _InstanceNorm(_Promoting, nn.InstanceNorm):
    """Each channel of each image by itself."""

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:  # type: ignore[override]
        if x.shape[1:-1] == (1, 1) and not self.is_initializing():
            raise ExperimentError(
                f"Instance normalisation of features of shape {x.shape} has one value a channel, which it would turn "
                "into zero: give larger images, or take another norm."
            )
        return super().__call__(x)


def group_norm(*, use_running_average: bool, dtype: DTypeLike, name: str) -> nn.Module:
    """Normalisation by 32 groups of channels (Wu and He 2018), for a block's `norm`: it has no running averages.

    Examples:
        >>> block = layers.ConvBlock((32,), norm=layers.group_norm)
        >>> run = lambda x: block.init_with_output(jax.random.key(0), x, train=True)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 32)
    """
    del use_running_average
    return _GroupNorm(32, epsilon=1e-5, dtype=dtype, name=name)


def instance_norm(*, use_running_average: bool, dtype: DTypeLike, name: str) -> nn.Module:
    """Normalisation of each channel of each image (Ulyanov et al. 2016), without parameters, for a block's `norm`.

    Features of 1x1, which it would turn into zero, are refused by an `ExperimentError` when it is called.

    Examples:
        >>> block = layers.ConvBlock((32,), norm=layers.instance_norm)
        >>> run = lambda x: block.init_with_output(jax.random.key(0), x, train=True)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 32)
    """
    del use_running_average
    return _InstanceNorm(epsilon=1e-5, use_bias=False, use_scale=False, dtype=dtype, name=name)
