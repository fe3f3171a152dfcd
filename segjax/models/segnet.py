"""SegNet: a decoder that unpools with the encoder's own pooling indices."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders import ConvEncoder, vgg16_stages
from segjax.layers import ConvBlock, batch_norm
from segjax.models.decoder import Decoder
from segjax.upsampling import MaxUnpool


class SegNet(nn.Module):
    """SegNet (Badrinarayanan et al. 2017): the decoder mirrors the encoder and fills in what unpooling leaves empty.

    `stages` and `decoder_stages` hold the widths of the convolutions at each level, finest first. The encoder pools
    after each stage; the decoder's stage ends at the width that the level above unpools with.
    """

    num_classes: int
    stages: tuple[tuple[int, ...], ...]
    decoder_stages: tuple[tuple[int, ...], ...]
    window: int = 3
    head_window: int = 3
    decoder_activation: Callable[[Array], Array] | None = nn.relu
    norm: Callable[..., nn.Module] | None = batch_norm
    upsample: Callable[..., nn.Module] = MaxUnpool
    dtype: DTypeLike = jnp.float32
    remat: bool = False
    """Whether stages are computed again in the backward pass, which saves most of the memory for activations."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32."""
        block = partial(ConvBlock, window=self.window, norm=self.norm, dtype=self.dtype, remat=self.remat)
        levels = ConvEncoder((*self.stages, ()), block, name="encoder")(image, train=train)
        block = partial(block, activation=self.decoder_activation)
        decoder = Decoder(self.decoder_stages, self.upsample, block=block, dtype=self.dtype, name="decoder")
        x = decoder(levels[-1].features, levels, train=train)
        return nn.Conv(self.num_classes, (self.head_window,) * 2, dtype=jnp.float32, name="head")(x)


def segnet(num_classes: int = 12, base: int = 64) -> SegNet:
    """SegNet on VGG-16's convolutions (Badrinarayanan et al. 2017).

    Widths `base` to `8 * base`. 29,441,996 parameters for twelve classes: the paper's 29.45 M, less the
    7,936 biases that batch normalisation cancels.
    """
    a, b, c, d = base, 2 * base, 4 * base, 8 * base
    return SegNet(
        num_classes,
        stages=vgg16_stages(base),
        decoder_stages=((a,), (b, a), (c, c, b), (d, d, c), (d, d, d)),
    )


def segnet_basic(num_classes: int = 11, base: int = 64) -> SegNet:
    """SegNet-Basic, the small one of the paper's ablations (Badrinarayanan et al. 2017).

    Four levels of one 7x7 convolution of `base` channels, and no ReLU in the decoder.
    1,416,075 parameters for eleven classes; the paper's table says 1.425 M. Its local contrast normalisation of the
    image is left to the input.
    """
    stages = ((base,),) * 4
    return SegNet(num_classes, stages, stages, window=7, head_window=1, decoder_activation=None)
