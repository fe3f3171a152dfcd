"""U-Net: an encoder-decoder whose skip connections carry the fine detail across."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders import ConvEncoder
from segjax.layers import ConvBlock, batch_norm
from segjax.models.decoder import Decoder
from segjax.upsampling import ConvTranspose


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) with padded convolutions, so that logits have the image's size.

    `widths` are the channels of each level, finest first, in the encoder and, but for the deepest, in the decoder.
    `skips=False` leaves the skip connections out, and is otherwise the same model.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    convs: int = 2
    """Convolutions per stage."""
    skips: bool = True
    norm: Callable[..., nn.Module] | None = batch_norm
    upsample: Callable[..., nn.Module] = ConvTranspose
    dtype: DTypeLike = jnp.float32
    encoder: nn.Module | None = None
    """Any encoder with a level per width; None for one of plain convolutions."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32."""
        block = partial(ConvBlock, norm=self.norm, dtype=self.dtype)
        stages = tuple((width,) * self.convs for width in self.widths)
        encoder = self.encoder or ConvEncoder(stages, block, name="encoder")
        levels = encoder(image, train=train)
        decoder = Decoder(stages[:-1], self.upsample, self.skips, block, self.dtype, name="decoder")
        x = decoder(levels[-1].features, levels, train=train)
        return nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name="head")(x)


def unet(num_classes: int = 2, base: int = 64) -> UNet:
    """U-Net with padded convolutions, so that nothing is cropped (Ronneberger et al. 2015).

    No normalisation, 2x2 transposed convolutions, widths `base` to `16 * base`. The paper's dropout at the deepest
    level is left out. 31,030,658 parameters for two classes of one-channel images, 31,031,810 for three channels.
    """
    return UNet(num_classes, widths=tuple(base * 2**i for i in range(5)), norm=None)
