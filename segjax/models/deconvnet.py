"""DeconvNet: a bottleneck of fully connected layers between VGG-16 and its mirror image."""

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


class DeconvNet(nn.Module):
    """DeconvNet (Noh et al. 2015): convolutions and pooling down to one vector, unpooling and deconvolutions back.

    `stages` and `decoder_stages` hold the widths of the convolutions at each level, finest first; the encoder pools
    after each stage. What the last pooling leaves is read by a fully connected layer of `hidden` channels, written as a
    convolution of `window` without padding, and a transposed convolution of the same window brings the size back. A
    smaller map is padded to the window and cropped again. All deconvolutions have stride 1, and so are convolutions
    with flipped kernels, which is how they are written here.
    """

    num_classes: int
    stages: tuple[tuple[int, ...], ...]
    decoder_stages: tuple[tuple[int, ...], ...]
    hidden: int = 4096
    window: int = 7
    norm: Callable[..., nn.Module] | None = batch_norm
    upsample: Callable[..., nn.Module] = MaxUnpool
    dtype: DTypeLike = jnp.float32
    remat: bool = False
    """Whether stages are computed again in the backward pass, which saves most of the memory for activations."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w num_classes"]:
        """Logits of the image's size, float32."""
        block = partial(ConvBlock, norm=self.norm, dtype=self.dtype, remat=self.remat)
        levels = ConvEncoder((*self.stages, ()), block, name="encoder")(image, train=train)
        deepest = levels[-1].features
        rows, columns, width = deepest.shape[1:]
        missing = [(0, max(0, self.window - size)) for size in (rows, columns)]
        x = jnp.pad(deepest, ((0, 0), *missing, (0, 0)))
        x = block((self.hidden,), self.window, padding="VALID", name="fc6")(x, train=train)
        x = block((self.hidden,), window=1, name="fc7")(x, train=train)
        x = block((width,), self.window, padding=self.window - 1, name="fc6_deconv")(x, train=train)
        decoder = Decoder(self.decoder_stages, self.upsample, block=block, dtype=self.dtype, name="decoder")
        x = decoder(x[:, :rows, :columns], levels, train=train)
        return nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name="head")(x)


def deconvnet(num_classes: int = 21, base: int = 64) -> DeconvNet:
    """DeconvNet on VGG-16, for 224x224 images (Noh et al. 2015).

    Widths `base` to `8 * base`. 251,788,949 parameters for 21 classes: the paper's 252 M, less the 16,704
    biases that batch normalisation cancels.
    """
    a, b, c, d = base, 2 * base, 4 * base, 8 * base
    return DeconvNet(
        num_classes,
        stages=vgg16_stages(base),
        decoder_stages=((a, a), (b, a), (c, c, b), (d, d, c), (d, d, d)),
        hidden=64 * base,
    )
