"""Upsamplers without parameters of their own: nearest, bilinear, and max-unpooling.

Where the channels must change, a 1x1 convolution does it at the low resolution, where it costs a quarter: it commutes
with an interpolation.
"""

from jaxtyping import Array, Float

from segjax import ops
from segjax.upsampling.base import Upsampling
from segjax.upsampling.level import Level


class Nearest(Upsampling):
    """Every pixel repeated `factor` times along rows and columns."""

    def grow(self, x: Float[Array, "n h w c"], level: Level) -> Float[Array, "n big_h big_w d"]:
        """Repeated pixels."""
        x = self.project(x, self.width(x))
        return ops.resize(x, (x.shape[1] * self.factor, x.shape[2] * self.factor), method="nearest")


class Bilinear(Upsampling):
    """Bilinear interpolation between pixel centres (torch's `align_corners=False`)."""

    def grow(self, x: Float[Array, "n h w c"], level: Level) -> Float[Array, "n big_h big_w d"]:
        """Interpolated pixels."""
        x = self.project(x, self.width(x))
        return ops.resize(x, (x.shape[1] * self.factor, x.shape[2] * self.factor), method="bilinear")


class MaxUnpool(Upsampling):
    """Every value back to where the encoder's pooling found its maximum, zeros elsewhere (SegNet, Badrinarayanan 2017).

    An argmax is of a channel, so `x` must have the level's channels; where it has not, a 1x1 convolution brings it
    there, and another ("project_out") brings the result to `features` where those differ again. Raises ValueError
    where the level has no argmax, or `factor` is not 2.
    """

    def grow(self, x: Float[Array, "n h w c"], level: Level) -> Float[Array, "n big_h big_w d"]:
        """Unpooled pixels."""
        if level.argmax is None:
            raise ValueError(
                f"MaxUnpool needs to know where the pooling below the level of shape {level.features.shape} found its "
                "maxima, but its argmax is None: take an encoder that max-pools, such as ConvEncoder."
            )
        if self.factor != 2:
            raise ValueError(f"MaxUnpool undoes one 2x2 pooling, but got factor={self.factor}: go one level at a time.")
        width = self.width(x)
        x = self.project(x, level.features.shape[-1])
        return self.project(ops.max_unpool(x, level.argmax), width, name="project_out")
