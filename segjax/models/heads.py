"""Heads beside that of a `Segmenter`'s masks, one that helps to train and one for the whole image; and what makes
logits of every class and pixel of one logit, or of scores."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.initializers import lecun_normal
from flax.typing import Initializer
from jaxtyping import Array, Float

from segjax import ops
from segjax.layers import Conv, ConvBlock, largest
from segjax.layers.dropout import Dropout
from segjax.level import Level
from segjax.ops.precision import at_least_float32


class ThreeByThree(Conv):
    """A head that sees each pixel's neighbours; it starts as Flax's convolutions do, as all heads.

    Examples:
        >>> head = models.heads.ThreeByThree(5)
        >>> run = lambda x: head.init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 5)
    """

    kernel_init: Initializer = lecun_normal()


class AuxiliaryHead(nn.Module):
    """A small fully convolutional network on a middle level, whose loss is added while training (Zhao et al. 2017).

    Training takes the rng "dropout".

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.UNetDecoder(), auxiliary=models.AuxiliaryHead(3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> [logits.shape for logits in jax.tree.leaves(jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))))]
        [(1, 16, 24, 3)]
    """

    num_classes: int
    level: int = -2
    """Which of the encoder's levels is read, counted as in a list: the last but one, as torchvision reads it."""
    dropout: float = 0.1
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32 at least, from the encoder's levels with the image's place first.

        Raises:
            ValueError: there is no such level, or it is only a place.
        """
        if not -len(levels) <= self.level < len(levels):
            raise ValueError(
                f"The auxiliary head reads level {self.level}, and there are {len(levels)}, the image's place among "
                "them: let it read another."
            )
        level = levels[self.level]
        if level.features is None:
            raise ValueError(f"Level {self.level} of the encoder has no features: let the auxiliary head read another.")
        y = self.block((max(1, level.width // 4),), name="hidden")(level.features, train=train)
        y = Dropout(self.dropout, deterministic=not train)(y)
        wide = at_least_float32(y.dtype)
        y = Conv(self.num_classes, 1, kernel_init=lecun_normal(), dtype=wide, name="logits")(y)
        return ops.resize(y, levels[0].size, method="bilinear")


class ImageHead(nn.Module):
    """The classes of the whole image, from the encoder's deepest level, pooled.

    Training takes the rng "dropout".

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.UNetDecoder(), image_head=models.ImageHead(2))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> [logits.shape for logits in jax.tree.leaves(jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))))]
        [(1, 16, 24, 3), (1, 2)]
    """

    num_classes: int
    pooling: Literal["avg", "max"] = "avg"
    dropout: float = 0.2
    activation: Callable[[Array], Array] | None = None
    """After the logits, where a published model has one."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> Float[Array, "n num_classes"]:
        """Logits, float32 at least."""
        x = levels[-1].features
        assert x is not None
        y = x.mean((1, 2)) if self.pooling == "avg" else largest(x)
        y = Dropout(self.dropout, deterministic=not train)(y)
        y = nn.Dense(self.num_classes, dtype=at_least_float32(y.dtype), name="logits")(y)
        return y if self.activation is None else self.activation(y)


class TwoClasses(nn.Module):
    """A model of one logit, for a class and what is not of it, as one of two: ground and class.

    Examples:
        >>> model = models.TwoClasses(models.unet(1, base=4, depth=1))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 2)
    """

    model: nn.Module

    def setup(self) -> None:
        """Share the scope of the model, whose variables stay where they are."""
        nn.share_scope(self, self.model)

    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w 2"]:
        """Logits whose softmax is the sigmoid of the one."""
        logit = self.model(image, train=train)
        return jnp.concatenate([jnp.zeros_like(logit), logit], axis=-1)


class OfScores(nn.Module):
    """A model of scores in 0..1, at any stride, as one of logits of every pixel, whose sigmoids are the scores.

    Examples:
        >>> model = models.OfScores(models.unet(2, base=4, depth=1))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 2)
    """

    model: nn.Module

    def setup(self) -> None:
        """Share the scope of the model, whose variables stay where they are."""
        nn.share_scope(self, self.model)

    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w k"]:
        """Logits, of scores that are held within a millionth of 0 and 1."""
        scores = ops.resize(self.model(image, train=train), image.shape[1:3], method="bilinear")
        return jax.scipy.special.logit(jnp.clip(scores, 1e-6, 1 - 1e-6))
