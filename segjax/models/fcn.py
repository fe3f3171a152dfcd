"""Fully convolutional networks: the plain encoder-decoder, and FCN-32s, 16s and 8s that upsample class scores."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.encoders import ConvEncoder, vgg16_stages
from segjax.layers import ConvBlock, batch_norm
from segjax.models.decoder import Decoder
from segjax.upsampling import ConvTranspose, bilinear_conv_transpose


class FCN(nn.Module):
    """A convolutional encoder-decoder without skip connections: only what passes the deepest level reaches the logits.

    `widths` are the channels of each level, finest first, in the encoder and, but for the deepest, in the decoder.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512)
    convs: int = 2
    """Convolutions per stage."""
    norm: Callable[..., nn.Module] | None = batch_norm
    upsample: Callable[..., nn.Module] = partial(ConvTranspose, window=3)
    dtype: DTypeLike = jnp.float32
    remat: bool = False
    """Whether stages are computed again in the backward pass, which saves most of the memory for activations."""
    encoder: nn.Module | None = None
    """Any encoder with a level per width; None for one of plain convolutions."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32."""
        block = partial(ConvBlock, norm=self.norm, dtype=self.dtype, remat=self.remat)
        stages = tuple((width,) * self.convs for width in self.widths)
        encoder = self.encoder or ConvEncoder(stages, block, name="encoder")
        levels = encoder(image, train=train)
        decoder = Decoder(stages[:-1], self.upsample, block=block, dtype=self.dtype, name="decoder")
        x = decoder(levels[-1].features, levels, train=train)
        return nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name="head")(x)


class ScoreFCN(nn.Module):
    """Class scores at the deepest level, fused with those of `skips` finer poolings, and upsampled (Long et al. 2015).

    The scores climb by 2 to each fused level, and from there to the image in one jump, or by 2 where `jump` is False,
    as max-unpooling must. The fused scores start at zero, so that training begins from the
    deepest alone. Convolutions are padded where the paper pads the image by 100 and crops. Training takes the rng
    "dropout". Raises ValueError where there are too few stages for the fused poolings.
    """

    num_classes: int
    skips: int
    stages: tuple[tuple[int, ...], ...] = vgg16_stages()
    """Widths of the encoder's convolutions at each level, finest first; it pools after each stage."""
    hidden: int = 4096
    window: int = 7
    dropout: float = 0.5
    norm: Callable[..., nn.Module] | None = None
    upsample: Callable[..., nn.Module] = bilinear_conv_transpose
    jump: bool = True
    dtype: DTypeLike = jnp.float32
    remat: bool = False
    """Whether stages are computed again in the backward pass, which saves most of the memory for activations."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32."""
        if self.skips >= len(self.stages):
            raise ValueError(
                f"ScoreFCN cannot fuse the scores of {self.skips} poolings above the last of {len(self.stages)}: "
                "lower skips, or add stages."
            )
        block = partial(ConvBlock, norm=self.norm, dtype=self.dtype, remat=self.remat)
        levels = ConvEncoder((*self.stages, ()), block, name="encoder")(image, train=train)
        x = levels[-1].features
        for name, window in (("fc6", self.window), ("fc7", 1)):
            x = block((self.hidden,), window, name=name)(x, train=train)
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        # Scores are narrow, so they stay in float32 from here on.
        upsample = partial(self.upsample, features=self.num_classes, dtype=jnp.float32)
        score = partial(nn.Conv, self.num_classes, (1, 1), dtype=jnp.float32)
        scores = score(name="score")(x)
        deepest = len(self.stages)
        for i in range(deepest, deepest - self.skips, -1):
            pooled, _ = ops.max_pool_with_argmax(levels[i - 2].features, window=2, ceil_mode=True)
            scores = upsample(name=f"up{i}")(scores, levels[i - 1])
            scores += score(kernel_init=zeros, name=f"score_pool{i - 1}")(pooled)
        finest = deepest - self.skips
        if self.jump:
            return upsample(factor=2**finest, name="up")(scores, levels[0])
        for i in range(finest, 0, -1):
            scores = upsample(name=f"up{i}")(scores, levels[i - 1])
        return scores


def fcn32s(num_classes: int = 21) -> ScoreFCN:
    """FCN-32s on VGG-16 (Long et al. 2015).

    The scores at stride 32 are upsampled 32 times. 136,152,917 parameters for 21 classes.
    """
    return ScoreFCN(num_classes, skips=0)


def fcn16s(num_classes: int = 21) -> ScoreFCN:
    """FCN-16s on VGG-16 (Long et al. 2015).

    The scores of pool4 are added at stride 16. 134,815,994 parameters for 21 classes.
    """
    return ScoreFCN(num_classes, skips=1)


def fcn8s(num_classes: int = 21) -> ScoreFCN:
    """FCN-8s on VGG-16 (Long et al. 2015).

    The scores of pool4 and pool3 are added, at strides 16 and 8. 134,489,759 parameters for 21 classes.
    """
    return ScoreFCN(num_classes, skips=2)
