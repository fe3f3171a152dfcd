"""Upsamplers without parameters of their own: nearest, bilinear, and max-unpooling.

Where the channels must change, a 1x1 convolution does it at the low resolution, where it costs a quarter: it commutes
with an interpolation.
"""

from jaxtyping import Array, Float

from segjax import ops
from segjax.level import Level
from segjax.upsampling.base import Upsampling


class Nearest(Upsampling):
    """Every pixel repeated `factor` times along rows and columns.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.Nearest(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Repeated pixels."""
        x = self.project(x, self.width(x))
        return ops.resize(x, (x.shape[1] * self.factor, x.shape[2] * self.factor), method="nearest")


class Bilinear(Upsampling):
    """Bilinear interpolation between pixel centres.

    Examples:
        >>> x, to = jnp.zeros((1, 4, 4, 8)), level.Level(None, (7, 8), stride=1)
        >>> up = upsampling.Bilinear(features=4)
        >>> run = lambda x: up.init_with_output(jax.random.key(0), x, to)[0]
        >>> jax.eval_shape(run, x).shape
        (1, 7, 8, 4)
    """

    align_corners: bool = False
    """Whether the centres of the corner pixels stay where they are, as torch's `align_corners=True` has it."""

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Interpolated pixels."""
        x = self.project(x, self.width(x))
        size = (x.shape[1] * self.factor, x.shape[2] * self.factor)
        return ops.resize(x, size, method="bilinear", align_corners=self.align_corners)


class MaxUnpool(Upsampling):
    """Every value back to where the encoder's pooling found its maximum, zeros elsewhere (SegNet, Badrinarayanan 2017).

    Where the pooling's windows overlap, as those of ResNet's stem do, the last of those that name a place counts. An
    index is of a channel, so `x` must have as many channels as were pooled; where it has not, a 1x1 convolution brings
    it there, and another ("project_out") brings the result to `features` where those differ again.

    Raises:
        ValueError: a level without indices, or with those of a pooling that is not by `factor`, when called.

    Examples:
        >>> x, indices = ops.max_pool_with_argmax(jnp.arange(56.0).reshape(1, 7, 8, 1), window=2, ceil_mode=True)
        >>> to = level.Level(None, (7, 8), stride=1, indices=indices)
        >>> upsampling.MaxUnpool().apply({}, x, to).shape
        (1, 7, 8, 1)
    """

    of_skip: bool = False
    """Whether, where the encoder did not pool, the indices are those that a pooling of the level's own features by
    `factor` would have: the places where the skip connection is strongest."""

    def grow(self, x: Float[Array, "n h w c"], to: Level) -> Float[Array, "n big_h big_w d"]:
        """Unpooled pixels."""
        indices = to.indices
        if indices is None and self.of_skip and to.features is not None:
            indices = ops.max_pool_with_argmax(to.features, window=self.factor, ceil_mode=True)[1]
        if indices is None and self.of_skip:
            raise ValueError(
                f"MaxUnpool needs to know where a pooling below the level of stride {to.stride} found its maxima, but "
                "it has neither indices nor features: end the climb before it, as finest_stride or Segmenter's "
                "places=() do."
            )
        if indices is None:
            raise ValueError(
                f"MaxUnpool needs to know where a pooling below the level of stride {to.stride} found its maxima, but "
                "its indices are None: take an encoder that max-pools there, such as ConvEncoder, or "
                "MaxUnpool(of_skip=True) where the level has features."
            )
        pooled = indices.geometry
        if pooled.strides != (self.factor, self.factor):
            raise ValueError(
                f"MaxUnpool by {self.factor} cannot undo a pooling with strides {pooled.strides}: "
                "go one level at a time."
            )
        if pooled.output_size != x.shape[1:3]:
            raise ValueError(
                f"MaxUnpool takes x of the {pooled.output_size} (h, w) that the pooling left, but got {x.shape}: "
                "pool in ceil mode, so that a level of h rows is followed by one of ceil(h / factor)."
            )
        width = self.width(x)
        x = self.project(x, indices.offsets.shape[-1])
        return self.project(ops.max_unpool(x, indices), width, name="project_out")
