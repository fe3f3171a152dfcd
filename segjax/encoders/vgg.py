"""VGG with the weights of ImageNet: names inside are torchvision's, `features.N`."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.encoders.asked import check, check_numbers
from segjax.layers import Conv, batch_norm
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"classifier\."
"""The classifier in torch's files, which an encoder has no place for."""
_WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """VGG as an encoder (Simonyan and Zisserman 2015): levels at strides 1, 2, 4, 8, 16 and 32.

    All but the deepest, which is the last pooling's output, have the indices of the pooling below. Pooling is in ceil
    mode, so that any size works; where 32 divides the image's, it is torchvision's to the last pixel.

    Examples:
        >>> encoder = encoders.VGG((1, 1, 1, 1, 1), depth=3)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(1, (1, 33, 47, 64)), (2, (1, 17, 24, 128)), (4, (1, 9, 12, 256)), (8, (1, 5, 6, 512))]
    """

    convs: tuple[int, int, int, int, int]
    """How many convolutions each stage has."""
    norm: Callable[..., nn.Module] | None = None
    """After every convolution, which keeps its bias, as in torchvision: called as
    `norm(use_running_average=..., dtype=..., name=...)`; None for none, as published."""
    depth: int = 5
    """How often the image is halved; levels that are not asked for are not made."""
    full_resolution: bool = True
    """Whether the level at stride 1 has features; without them it is a place to climb to, whose pooling can be undone:
    segmentation_models_pytorch has its decoders skip it."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each stage again, instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        norms = (0,) if self.norm is None else (0, 1)
        return tuple(tuple(f"features_{place + i}" for place in places for i in norms) for places in self._places())

    def _places(self) -> list[tuple[int, ...]]:
        """Of the convolutions of every stage, as torchvision counts them with activations and poolings."""
        layers, places, first = 2 if self.norm is None else 3, [], 0
        for count in self.convs[: self.depth + 1]:
            places.append(tuple(first + layers * i for i in range(count)))
            first += layers * count + 1
        return places

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """One level a stage, and the last pooling's."""
        check_numbers(convs=self.convs)
        check(image, self.depth, len(self.convs))
        levels, x = [], image
        for i, (places, width) in enumerate(zip(self._places(), _WIDTHS, strict=False)):

            def stage(self: VGG, x: Array, places: tuple[int, ...] = places, width: int = width) -> Array:
                for place in places:
                    x = Conv(width, 3, 1, dtype=self.dtype, name=f"features_{place}")(x)
                    if self.norm is not None:
                        x = self.norm(use_running_average=not train, dtype=self.dtype, name=f"features_{place + 1}")(x)
                    x = nn.relu(x)
                return x

            features = (nn.remat(stage) if self.remat else stage)(self, x)
            if i == self.depth:
                return (*levels, level_at(image, 2**i, features))
            x, indices = ops.max_pool_with_argmax(features, 2, ceil_mode=True)
            levels.append(level_at(image, 2**i, features if i or self.full_resolution else None, indices=indices))
        return (*levels, level_at(image, 32, x))


vgg11: partial[VGG] = partial(VGG, convs=(1, 1, 2, 2, 2))
vgg13: partial[VGG] = partial(VGG, convs=(2, 2, 2, 2, 2))
vgg16: partial[VGG] = partial(VGG, convs=(2, 2, 3, 3, 3))
vgg19: partial[VGG] = partial(VGG, convs=(2, 2, 4, 4, 4))
vgg11_bn: partial[VGG] = partial(vgg11, norm=batch_norm)
vgg13_bn: partial[VGG] = partial(vgg13, norm=batch_norm)
vgg16_bn: partial[VGG] = partial(vgg16, norm=batch_norm)
vgg19_bn: partial[VGG] = partial(vgg19, norm=batch_norm)
