"""The naive approach: convolutions at full resolution, a class for every pixel."""

from collections.abc import Callable

import flax.linen as nn
from flax.linen.initializers import lecun_normal
from jaxtyping import Array, Float

from segjax.layers import Conv, ConvBlock
from segjax.ops.precision import at_least_float32


class FullResolutionCNN(nn.Module):
    """A chain of 3x3 convolutions that never pools, and a 1x1 convolution to class scores.

    It is dear, because every convolution runs on every pixel, and its receptive field grows by one pixel on each side
    per convolution alone.

    Examples:
        >>> model = models.FullResolutionCNN(5, widths=(4, 4))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 5)
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 64, 64, 64)
    block: Callable[..., nn.Module] = ConvBlock
    """Called as `block(widths, name=...)(x, train=...)`."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32 at least."""
        x = self.block(self.widths, name="body")(image, train=train)
        wide = at_least_float32(x.dtype)
        return Conv(self.num_classes, 1, kernel_init=lecun_normal(), dtype=wide, name="head")(x)
