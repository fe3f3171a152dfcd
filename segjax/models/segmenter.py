"""Segmenter: an encoder, a decoder, a head, and the climb from where the decoder ends to the image."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.level import from_image, level_at
from segjax.upsampling import Bilinear

_one_by_one = partial(nn.Conv, kernel_size=(1, 1))


class Segmenter(nn.Module):
    """A class for every pixel, from any encoder and any decoder."""

    num_classes: int
    encoder: nn.Module
    decoder: nn.Module
    head: Callable[..., nn.Module] | None = _one_by_one
    """Called as `head(num_classes, dtype=float32, name="head")(features)`; None where the decoder gives logits."""
    to_image: Callable[..., nn.Module] = Bilinear
    """The upsampler from the stride where the decoder ends, where that is not 1."""
    places: tuple[int, ...] = (1,)
    """Strides, finer than any level of the encoder, that the decoder climbs over: the image's own, and with 2 a climb
    from stride 4 goes by two."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32."""
        x = self.decoder(from_image(self.encoder(image, train=train), image, self.places), train=train)[0]
        if self.head is not None:
            x = x.replace(features=self.head(self.num_classes, dtype=jnp.float32, name="head")(x.features))
        if x.stride == 1:
            return x.features
        to_image = self.to_image(features=self.num_classes, factor=x.stride, name="to_image")
        return to_image(x.features, level_at(image, 1))


class DeeplySupervised(nn.Module):
    """A class for every pixel, and in training one for every cell of every level that the decoder climbs to."""

    num_classes: int
    encoder: nn.Module
    decoder: nn.Module
    head: Callable[..., nn.Module] = _one_by_one

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w num_classes"] | tuple[Float[Array, "n _h _w num_classes"], ...]:
        """Logits of the finest level, float32; in training those of every level, finest first, for
        `losses.deep_supervision`."""
        levels = self.decoder(from_image(self.encoder(image, train=train), image), train=train)
        logits = tuple(
            self.head(self.num_classes, dtype=jnp.float32, name=f"head{i}" if i > 1 else "head")(level.features)
            for i, level in enumerate(levels, start=1)
        )
        return logits if train else logits[0]
