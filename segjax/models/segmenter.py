"""Segmenter: an encoder, a decoder, a head, and the climb from where the decoder ends to the image."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from flax.linen.initializers import lecun_normal
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.layers import Conv
from segjax.level import Level, from_image, level_at
from segjax.models.asked import check_parts
from segjax.ops.precision import at_least_float32
from segjax.upsampling import Bilinear

_one_by_one = partial(Conv, window=1, kernel_init=lecun_normal())


class Segmented(NamedTuple):
    """What a `Segmenter` with a head for the whole image gives."""

    logits: Any
    """Of every pixel, as it gives them without that head."""
    classes: Float[Array, "n k"]
    """Logits of the image's classes."""


class Segmenter(nn.Module):
    """A class for every pixel, from any encoder and any decoder.

    Examples:
        >>> model = models.Segmenter(5, encoders.ConvEncoder(((4,), (8,))), decoders.UNetDecoder())
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 5)
    """

    num_classes: int
    encoder: nn.Module
    decoder: nn.Module
    head: Callable[..., nn.Module] | None = _one_by_one
    """Called as `head(num_classes, dtype=..., name="head")(features)`; None where the decoder gives logits."""
    to_image: Callable[..., nn.Module] = Bilinear
    """The upsampler from the stride where the decoder ends, where that is not 1."""
    places: tuple[int, ...] = (1,)
    """Strides, finer than any level of the encoder, that the decoder climbs over: the image's own, and with 2 a climb
    from stride 4 goes by two."""
    stride: int = 1
    """Of the logits: 1 for a class of every pixel; where the decoder ends, so that nothing is upsampled after it."""
    activation: Callable[[Array], Array] | None = None
    """After the logits, where a published model has one; losses, metrics and predictions are of logits."""
    auxiliary: nn.Module | None = None
    """`AuxiliaryHead`: called as `auxiliary(levels, train=...)` while training, whose logits are then given as well."""
    image_head: nn.Module | None = None
    """`ImageHead`: called as `image_head(levels, train=...)`, for the classes of the whole image."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w num_classes"] | tuple[Float[Array, "n h w num_classes"], ...] | Segmented:
        """Logits of the image's size, float32 at least; in training with an auxiliary head theirs and its own, for
        `losses.deep_supervision`; and `Segmented` of these with a head for the whole image."""
        check_parts(self)
        levels = from_image(self.encoder(image, train=train), image, self.places)
        x = self.decoder(levels, train=train)[0]
        if self.head is not None:
            x = x.holding(self.head(self.num_classes, dtype=_wide(x), name="head")(x.features))
        logits: Any = _climbed(x, image, self.stride, self.to_image)
        if self.activation is not None:
            logits = self.activation(logits)
        if self.auxiliary is not None and (train or self.is_initializing()):
            beside = self.auxiliary(levels, train=train)
            logits = (logits, beside) if train else logits
        return logits if self.image_head is None else Segmented(logits, self.image_head(levels, train=train))


class DeeplySupervised(nn.Module):
    """A class for every pixel, and in training one for every cell of every level that the decoder climbs to.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.DeeplySupervised(3, encoder, decoders.UNetDecoder())
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> [logits.shape for logits in jax.tree.leaves(jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))))]
        [(1, 16, 24, 3)]
    """

    num_classes: int
    encoder: nn.Module
    decoder: nn.Module
    head: Callable[..., nn.Module] = _one_by_one
    to_image: Callable[..., nn.Module] = Bilinear
    """The upsampler of the finest level's logits, where the decoder ends at a stride beyond 1."""

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w num_classes"] | tuple[Float[Array, "n _h _w num_classes"], ...]:
        """Logits of the image's size, float32 at least; in training those of every level, finest first, for
        `losses.deep_supervision`: the finest brought to the image, the others where they are."""
        check_parts(self)
        levels = self.decoder(from_image(self.encoder(image, train=train), image), train=train)
        finest, *others = (
            level.replace(
                features=self.head(self.num_classes, dtype=_wide(level), name=f"head{i}" if i > 1 else "head")(
                    level.features
                )
            )
            for i, level in enumerate(levels, start=1)
        )
        logits = _climbed(finest, image, 1, self.to_image)
        return (logits, *(level.features for level in others)) if train else logits


def _wide(level: Level) -> DTypeLike:
    """What logits are computed in: float32 at least."""
    assert level.features is not None
    return at_least_float32(level.features.dtype)


def _climbed(x: Level, image: Array, stride: int, upsample: Callable[..., nn.Module]) -> Array:
    """The features of a level brought to a finer stride; called inside a compact module."""
    assert x.features is not None
    if x.stride == stride:
        return x.features
    factor = x.stride // stride
    if x.stride % stride or factor < 1:
        raise ValueError(f"The decoder ends at stride {x.stride}, from which none climbs to {stride}: set the stride.")
    return upsample(features=x.width, factor=factor, name="to_image")(x.features, level_at(image, stride))
