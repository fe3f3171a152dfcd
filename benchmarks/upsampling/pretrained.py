"""The families of `--pretrained`: five published decoders, each on encoders with weights of ImageNet.

| family | decoder | where the upsampler is |
|---|---|---|
| U-Net | two 3x3 convolutions at strides 16, 8, 4 and 2, with the encoder's features beside them | by 2, four times |
| FCN | the same without those features | by 2, four times |
| FPN | a pyramid from stride 32 to 4, and its semantic branch, which is bilinear | by 2, three times |
| DeepLabV3+ | ASPP at stride 32, joined with the features of stride 4 | by 8, once |
| SegFormer | a linear map of each level, joined at stride 4, then a hidden layer of 1x1 | by 2, 4 and 8 |

All end at stride 2 or 4, and the logits go to the image bilinearly, whatever the upsampler: at stride 1 not every
encoder has features that could guide one or say where to unpool.
"""

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from math import prod
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from segjax import decoders, encoders, weights
from segjax.layers import ConvBlock
from segjax.level import Level
from segjax.models import Segmenter


class Encoder(NamedTuple):
    """An encoder of the library with what it starts from."""

    label: str
    name: str
    start: str
    """The name of its weights."""
    pools: bool = False


ENCODERS = {
    "vgg16": Encoder("VGG16", "vgg16", "vgg16.imagenet", pools=True),
    "mobilenetv2": Encoder("MobileNetV2", "mobilenet_v2", "mobilenet_v2.imagenet"),
    "vgg16hed": Encoder("VGG16 of HED", "vgg16", "vgg16.hed", pools=True),
    "lite0": Encoder("EfficientNet-Lite0", "efficientnet_lite0", "efficientnet_lite0.imagenet"),
}
"""By the name that families have. HED's is a VGG16 from ImageNet that was then trained on edges; its weights, those of
MobileNetV2 and those of EfficientNet-Lite0 come from a package registry."""
DECODERS = {"unet": "U-Net", "fcn": "FCN", "fpn": "FPN", "deeplabv3plus": "DeepLabV3+", "segformer": "SegFormer"}
FAMILIES = {
    f"{decoder}_{encoder}": f"{title} on {ENCODERS[encoder].label}"
    for encoder, (decoder, title) in product(ENCODERS, DECODERS.items())
}
"""The families and what a table calls them."""


def encoder_of(family: str) -> Encoder:
    """That of a family."""
    return ENCODERS[family.partition("_")[2]]


def families(*encoders: str) -> tuple[str, ...]:
    """Every decoder on these encoders."""
    return tuple(f"{decoder}_{encoder}" for encoder, decoder in product(encoders, DECODERS))


def fits(family: str, upsampler: str) -> bool:
    """Whether the upsampler can be there: max-unpooling undoes one recorded pooling, and not several at once."""
    jumps = family.startswith(("deeplabv3plus", "segformer"))
    return not (upsampler == "max_unpool" and jumps and encoder_of(family).pools)


def widths_of(family: str, width: int) -> tuple[int, ...]:
    """The decoder's widths in proportion to one, as `network` takes them."""
    decoder = family.partition("_")[0]
    if decoder in ("unet", "fcn"):
        return (width, 2 * width, 4 * width, 4 * width)
    return {"fpn": (4 * width, 2 * width), "deeplabv3plus": (4 * width, width), "segformer": (4 * width, 4 * width)}[
        decoder
    ]


class Hidden(nn.Module):
    """A 1x1 layer before the classes."""

    num_classes: int
    hidden: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w k"]:
        """Logits."""
        x = nn.relu(nn.Conv(self.hidden, (1, 1), dtype=self.dtype, name="hidden")(x))
        return nn.Conv(self.num_classes, (1, 1), dtype=self.dtype, name="classes")(x)


def network(family: str, widths: tuple[int, ...], upsample: Callable[..., nn.Module], num_classes: int) -> Segmenter:
    """The family's model with its decoder of these widths."""
    return _on(encoders.BY_NAME[encoder_of(family).name](), family, widths, upsample, num_classes)


def _on(
    encoder: nn.Module, family: str, widths: tuple[int, ...], upsample: Callable[..., nn.Module], num_classes: int
) -> Segmenter:
    match family.partition("_")[0]:
        case "unet" | "fcn" as name:
            stages = tuple((width, width) for width in widths)
            decoder = decoders.UNetDecoder(stages, upsample, ConvBlock, skips=name == "unet", finest_stride=2)
        case "fpn":
            decoder = decoders.FPNDecoder(widths[0], widths[1], dropout=0.0, upsample=upsample)
        case "deeplabv3plus":
            rates = (3, 6, 9)  # for tiles of a few hundred pixels
            decoder = decoders.DeepLabV3PlusDecoder(widths[0], widths[1], rates, dropout=0.0, upsample=upsample)
        case _:
            head = partial(Hidden, hidden=widths[1])
            return Segmenter(num_classes, encoder, decoders.SegFormerDecoder(widths[0], upsample=upsample), head)
    return Segmenter(num_classes, encoder, decoder)


class _Levels(nn.Module):
    """An encoder's levels without the encoder, which takes long to trace."""

    name_of_encoder: str

    def __call__(self, image: Array, *, train: bool) -> tuple[Level, ...]:
        return jax.tree.map(lambda one: jnp.zeros(one.shape, one.dtype), levels(self.name_of_encoder, image.shape)[0])


@cache
def levels(encoder: str, image: tuple[int, ...]) -> tuple[tuple[Level, ...], int]:
    """Shapes of an encoder's levels for an image (1 h w c), and how many parameters it has."""
    run = partial(encoders.BY_NAME[encoder]().init_with_output, train=False)
    found, variables = jax.eval_shape(run, jax.random.key(0), jax.ShapeDtypeStruct(image, np.float32))
    return found, _size(variables)  # type: ignore[return-value]


def parameters(
    family: str, widths: tuple[int, ...], upsample: Callable[..., nn.Module], num_classes: int
) -> tuple[int, int]:
    """Of the whole network, and of what follows the encoder; counted from shapes alone."""
    name, image = encoder_of(family).name, (1, 32, 32, 3)
    _, encoder = levels(name, image)  # before `_Levels` asks for them, inside of which no encoder can be made
    model = _on(_Levels(name), family, widths, upsample, num_classes)
    init = partial(model.init, train=False)
    decoder = _size(jax.eval_shape(init, jax.random.key(0), jax.ShapeDtypeStruct(image, np.float32)))
    return encoder + decoder, decoder


def _size(variables: Any) -> int:
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def kept_bytes(family: str, unpools: bool, image: tuple[int, ...]) -> tuple[int, int]:
    """What an image's encoder keeps for the decoder beside the deepest features, and packed indices alone.

    The second is 0 where the encoder strides, whose features say where to unpool.
    """
    finer, pooled = [], 0
    for level in levels(encoder_of(family).name, (1, *image))[0][:-1]:
        if level.stride >= (2 if family.startswith(("unet", "fcn")) else 4):
            assert level.features is not None
            finer.append(prod(level.features.shape) * level.features.dtype.itemsize)
            pooled += 0 if level.indices is None else -(-prod(level.indices.offsets.shape) // 4)
    read = finer[:1] if family.startswith("deeplabv3plus") else [] if family.startswith("fcn") else finer
    return sum(read) + unpools * pooled, pooled


def started(family: str, model: nn.Module, variables: Any) -> Any:
    """The variables with the encoder's weights in their place."""
    return weights.load(model, variables, encoder_of(family).start)


def statistics(family: str) -> dict[str, Any]:
    """How images are normalised for the family's encoder, as `layers.Normalized` takes it."""
    return {**weights.named(encoder_of(family).start).statistics, "gamma": 1.0}
