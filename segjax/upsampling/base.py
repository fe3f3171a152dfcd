"""What every upsampler shares: its fields, the sizes it accepts, and the crop to its level."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.level import Level


class Upsampling(nn.Module):
    """An upsampler, called as `upsample(x, to)`: `x` grows `factor` times and is cropped to the size of the level `to`.

    A level of h rows is ceil(h / factor) rows at `x`, so the crop takes off what the rounding up added. By 1 nothing
    grows, as between levels of one stride, and a 1x1 convolution changes the channels where they must change. A
    subclass writes `grow`.

    Raises:
        ValueError: `x` of any other size, when called.

    Examples:
        >>> issubclass(upsampling.DySample, upsampling.Upsampling)
        True
    """

    features: int | None = None
    """Channels of the result; None keeps those of `x`."""
    factor: int = 2
    dtype: DTypeLike | None = None
    """What is computed in; None for what `x` was computed in. Parameters are float32."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """An array of the size of `to`, with `features` channels."""
        rows, columns = to.size
        expected = (-(-rows // self.factor), -(-columns // self.factor))
        if x.shape[1:3] != expected:
            raise ValueError(
                f"{type(self).__name__} by {self.factor} to a level of {rows}x{columns} takes a map of "
                f"{expected[0]}x{expected[1]}, but got x of shape {x.shape}: go one level at a time, or set factor."
            )
        x = jnp.asarray(x, self.dtype)
        if self.factor == 1:
            return self.project(x, self.width(x))
        return self.grow(x, to)[:, :rows, :columns]

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """`x` with `factor` times as many rows and columns, or already of the level's size."""
        raise NotImplementedError

    def width(self, x: Float[Array, "n h w c"]) -> int:
        """Channels of the result."""
        return x.shape[-1] if self.features is None else self.features

    def project(self, x: Float[Array, "n h w c"], width: int, name: str = "project") -> Float[Array, "n h w d"]:
        """`x` with `width` channels: itself, or a 1x1 convolution where it has others."""
        return x if x.shape[-1] == width else nn.Conv(width, (1, 1), dtype=x.dtype, name=name)(x)
