"""Encoders of plain convolutions and max-pooling: VGG's, and those of SegNet, DeconvNet and U-Net."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from segjax import ops
from segjax.encoders.asked import check
from segjax.layers import ConvBlock
from segjax.level import Level, Parts, level_at


class ConvEncoder(nn.Module):
    """Stages of convolutions with a 2x2 max-pooling between one and the next (Simonyan and Zisserman 2015).

    `stages` has one entry per level, finest first: the widths of its convolutions. An empty entry only hands on what
    the pooling before it left, as where VGG pools once more after its last convolution. Pooling is in ceil mode, so
    that a level of h rows is followed by one of ceil(h / 2) and any size works.

    Raises:
        ValueError: there is no stage, or a width below 1.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8, 8), (16,)))
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(1, (1, 33, 47, 4)), (2, (1, 17, 24, 8)), (4, (1, 9, 12, 16))]
    """

    stages: tuple[tuple[int, ...], ...]
    block: Callable[..., nn.Module] = ConvBlock
    """Called as `block(widths, name=...)(x, train=...)`."""

    def __post_init__(self) -> None:
        """Refuses what is no encoder."""
        if not self.stages or min((width for widths in self.stages for width in widths), default=1) < 1:
            raise ValueError(f"An encoder has at least one stage, of widths of at least 1, not {self.stages}.")
        super().__post_init__()

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        return tuple((f"stage{i}",) for i, widths in enumerate(self.stages, start=1) if widths)

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """One level per stage, finest first, at strides 1, 2, 4, ..."""
        check(image)
        levels = []
        x = image
        for i, widths in enumerate(self.stages, start=1):
            features = self.block(widths, name=f"stage{i}")(x, train=train)
            if i < len(self.stages):
                x, indices = ops.max_pool_with_argmax(features, window=2, ceil_mode=True)
                levels.append(level_at(image, 2 ** (i - 1), features, indices=indices))
            else:
                levels.append(level_at(image, 2 ** (i - 1), features))
        return tuple(levels)


def vgg16_stages(base: int = 64) -> tuple[tuple[int, ...], ...]:
    """The widths of VGG-16's thirteen convolutions by stage (configuration D), `base` to `8 * base`.

    Examples:
        >>> encoders.vgg16_stages(base=4)
        ((4, 4), (8, 8), (16, 16, 16), (32, 32, 32), (32, 32, 32))
    """
    a, b, c, d = base, 2 * base, 4 * base, 8 * base
    return ((a, a), (b, b), (c, c, c), (d, d, d), (d, d, d))
