"""The image classifiers that encoders come from, with torch's names: what their published scores are of."""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from segjax import ops
from segjax.layers import normalized_conv
from segjax.ops.precision import at_least_float32


class Classifier(nn.Module):
    """An encoder, whose deepest level, pooled, tells the class of the image.

    Parameters lie side by side with the encoder's, as in torch's files: those of a whole file fit.

    Examples:
        >>> model = models.Classifier(encoders.ConvEncoder(((4,), (8,))), num_classes=10)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 33, 47, 3))).shape
        (1, 10)
    """

    encoder: nn.Module
    num_classes: int = 1000
    dense: str = "fc"
    """The name of the last layer: "fc" of ResNet, "classifier_1" of MobileNetV2, "classifier" of EfficientNet,
    "classifier_3" of torchvision's MobileNetV3, "classifier_6" of VGG."""
    conv: tuple[str, str] | None = None
    """The names of a 1x1 convolution and its normalisation before the pooling; None for none."""
    width: int = 1280
    """Channels of that convolution."""
    hidden: tuple[tuple[str, int], ...] = ()
    """Names and widths of dense layers before the last one: "classifier_0" of MobileNetV3, that and "classifier_3" of
    VGG."""
    grid: int = 1
    """Rows and columns that the deepest level is pooled to by means: VGG's is 7."""
    activation: Callable[[Array], Array] = nn.relu6
    """After that convolution and those layers."""

    def setup(self) -> None:
        """Parameters are named as if the encoder's were its own."""
        nn.share_scope(self, self.encoder)

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n num_classes"]:
        """Logits, float32 where the encoder computes in fewer bits."""
        x = self.encoder(image, train=train)[-1].features
        if self.conv is not None:
            fields = {"norm": self.encoder.norm, "dtype": self.encoder.dtype}
            x = self.activation(normalized_conv(x, self.width, 1, self.conv, train=train, **fields))
        wide = at_least_float32(x.dtype)
        x = ops.adaptive_avg_pool(x, self.grid).transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # channel by channel
        for name, width in self.hidden:
            x = self.activation(nn.Dense(width, dtype=wide, name=name)(x))
        return nn.Dense(self.num_classes, dtype=wide, name=self.dense)(x)
