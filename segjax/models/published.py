"""The published segmentation networks, each a function that joins an encoder, a decoder and a head.

Whoever wants other widths, encoders or decoders makes a `Segmenter` of them.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from segjax.decoders import FCNDecoder, FullyConnected, UNetDecoder
from segjax.encoders import ConvEncoder, vgg16_stages
from segjax.layers import ConvBlock
from segjax.models.heads import ThreeByThree
from segjax.models.segmenter import Segmenter
from segjax.upsampling import ConvTranspose, MaxUnpool, bilinear_conv_transpose

Block = Callable[..., nn.Module]
Upsample = Callable[..., nn.Module]
plain_block: partial[ConvBlock] = partial(ConvBlock, norm=None)
"""Without normalisation, as before it was found."""


def unet(
    num_classes: int = 2,
    base: int = 64,
    *,
    depth: int = 4,
    convs: int = 2,
    skips: bool = True,
    upsample: Upsample = ConvTranspose,
    block: Block = plain_block,
) -> Segmenter:
    """U-Net with padded convolutions, so that nothing is cropped (Ronneberger et al. 2015).

    The image is halved `depth` times, each level has `convs` convolutions, and widths are `base` to `2**depth * base`;
    `skips=False` leaves the skip connections out, and is otherwise the same model. As published there is no
    normalisation; the paper's dropout at the deepest level is left out. 31,030,658 parameters for two classes of
    one-channel images, 31,031,810 for three channels.

    Raises:
        ValueError: where a level would have no convolution, or `depth` is negative.

    Examples:
        >>> model = models.unet(num_classes=5, base=4, depth=2)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 5)
    """
    if convs < 1 or depth < 0:
        raise ValueError(f"the depth is {depth} and convs is {convs}: give 0 or more, and 1 or more.")
    stages = tuple((base * 2**i,) * convs for i in range(depth + 1))
    return Segmenter(num_classes, ConvEncoder(stages, block), UNetDecoder(stages[:-1], upsample, block, skips))


def fcn(
    num_classes: int,
    base: int = 64,
    *,
    depth: int = 3,
    convs: int = 2,
    upsample: Upsample = partial(ConvTranspose, overlap=1),
    block: Block = ConvBlock,
) -> Segmenter:
    """A convolutional encoder-decoder without skip connections: only what passes the deepest level reaches the logits.

    The arguments are those of `unet`.

    Raises:
        ValueError: as `unet`.

    Examples:
        >>> model = models.fcn(5, base=4)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 5)
    """
    return unet(num_classes, base, depth=depth, convs=convs, skips=False, upsample=upsample, block=block)


def fcn32s(num_classes: int = 21) -> Segmenter:
    """FCN-32s on VGG-16 (Long et al. 2015).

    The scores at stride 32 are upsampled 32 times. 136,152,917 parameters for 21 classes.

    Examples:
        >>> model = models.fcn32s(21)
        >>> type(model.encoder).__name__, type(model.decoder).__name__
        ('ConvEncoder', 'FCNDecoder')
    """
    return _fcn_of_vgg16(num_classes, skips=0)


def fcn16s(num_classes: int = 21) -> Segmenter:
    """FCN-16s on VGG-16 (Long et al. 2015).

    The scores of pool4 are added at stride 16. 134,815,994 parameters for 21 classes.

    Examples:
        >>> model = models.fcn16s(21)
        >>> type(model.encoder).__name__, type(model.decoder).__name__
        ('ConvEncoder', 'FCNDecoder')
    """
    return _fcn_of_vgg16(num_classes, skips=1)


def fcn8s(num_classes: int = 21) -> Segmenter:
    """FCN-8s on VGG-16 (Long et al. 2015).

    The scores of pool4 and pool3 are added, at strides 16 and 8. 134,489,759 parameters for 21 classes.

    Examples:
        >>> model = models.fcn8s(21)
        >>> type(model.encoder).__name__, type(model.decoder).__name__
        ('ConvEncoder', 'FCNDecoder')
    """
    return _fcn_of_vgg16(num_classes, skips=2)


def segnet(num_classes: int = 12, base: int = 64) -> Segmenter:
    """SegNet on VGG-16's convolutions (Badrinarayanan et al. 2017): the decoder mirrors the encoder and unpools.

    Widths `base` to `8 * base`; the head is the last convolution of the finest stage. 29,441,996 parameters for twelve
    classes: the paper's 29.45 M, less the 7,936 biases that batch normalisation cancels.

    Examples:
        >>> model = models.segnet(12)
        >>> type(model.encoder).__name__, type(model.decoder).__name__
        ('ConvEncoder', 'UNetDecoder')
    """
    stages = vgg16_stages(base)
    (_, *finest), *deeper = mirrored(stages)
    decoder = UNetDecoder((tuple(finest), *deeper), MaxUnpool, skips=False)
    return Segmenter(num_classes, ConvEncoder((*stages, ())), decoder, ThreeByThree)


def segnet_basic(num_classes: int = 11, base: int = 64) -> Segmenter:
    """SegNet-Basic, the small one of the paper's ablations (Badrinarayanan et al. 2017).

    Four levels of one 7x7 convolution of `base` channels, and no ReLU in the decoder. 1,416,075 parameters for eleven
    classes; the paper's table says 1.425 M. Its local contrast normalisation of the image is left to the input.

    Examples:
        >>> model = models.segnet_basic(5, base=4)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 33, 47, 5)
    """
    stages = ((base,),) * 4
    block = partial(ConvBlock, window=7)
    decoder = UNetDecoder(stages, MaxUnpool, partial(block, activation=None), skips=False)
    return Segmenter(num_classes, ConvEncoder((*stages, ()), block), decoder)


def deconvnet(num_classes: int = 21, base: int = 64) -> Segmenter:
    """DeconvNet on VGG-16, for 224x224 images (Noh et al. 2015): a bottleneck of fully connected layers.

    Widths `base` to `8 * base`, and `64 * base` in the bottleneck; the decoder is the encoder's mirror image and
    unpools. 251,788,949 parameters for 21 classes: the paper's 252 M, less the 16,704 biases that batch normalisation
    cancels.

    Examples:
        >>> model = models.deconvnet(21)
        >>> type(model.encoder).__name__, type(model.decoder).__name__
        ('ConvEncoder', 'UNetDecoder')
    """
    stages = vgg16_stages(base)
    decoder = UNetDecoder(mirrored(stages), MaxUnpool, skips=False, bottleneck=FullyConnected(64 * base))
    return Segmenter(num_classes, ConvEncoder((*stages, ())), decoder)


def mirrored(stages: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """The decoder's widths for an encoder's that pools after every stage, finest first, as SegNet has them.

    Each stage is turned round, and ends at the width of the level above it, which max-unpooling needs.

    Examples:
        >>> models.mirrored(((4,), (8, 8)))
        ((4,), (8, 4))
    """
    finer = (stages[0], *stages[:-1])
    return tuple((*reversed(own[1:]), above[-1]) for own, above in zip(stages, finer, strict=True))


def _fcn_of_vgg16(num_classes: int, skips: int) -> Segmenter:
    encoder = ConvEncoder((*vgg16_stages(), ()), plain_block)
    return Segmenter(num_classes, encoder, FCNDecoder(num_classes, skips), head=None, to_image=bilinear_conv_transpose)
