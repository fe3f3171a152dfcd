"""U-Net: an encoder-decoder whose skip connections carry the fine detail across."""

from collections.abc import Callable
from functools import partial
from typing import Any

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
    remat: bool = False
    """Whether stages are computed again in the backward pass, which saves most of the memory for activations."""
    encoder: nn.Module | None = None
    """Any encoder with a level per width; None for one of plain convolutions."""
    deep_supervision: bool = False
    """Whether training gets the logits of every level of the decoder, finest first, for `losses.deep_supervision`."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Any:
        """Logits of the image's size, float32; with `deep_supervision`, a tuple of them by level in training."""
        block = partial(ConvBlock, norm=self.norm, dtype=self.dtype, remat=self.remat)
        stages = tuple((width,) * self.convs for width in self.widths)
        encoder = self.encoder or ConvEncoder(stages, block, name="encoder")
        levels = encoder(image, train=train)
        decoder = Decoder(
            stages[:-1], self.upsample, self.skips, block, self.dtype, self.deep_supervision, name="decoder"
        )
        x = decoder(levels[-1].features, levels, train=train)
        if not self.deep_supervision:
            return nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name="head")(x)
        logits = tuple(
            nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name=f"head{i}" if i > 1 else "head")(features)
            for i, features in enumerate(x, start=1)
        )
        return logits if train else logits[0]


def unet(num_classes: int = 2, base: int = 64) -> UNet:
    """U-Net with padded convolutions, so that nothing is cropped (Ronneberger et al. 2015).

    No normalisation, 2x2 transposed convolutions, widths `base` to `16 * base`. The paper's dropout at the deepest
    level is left out. 31,030,658 parameters for two classes of one-channel images, 31,031,810 for three channels.
    """
    return UNet(num_classes, widths=tuple(base * 2**i for i in range(5)), norm=None)
