"""The image classifiers that encoders come from, with torch's names: what their published scores are of."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.layers import normalized_conv


class Classifier(nn.Module):
    """An encoder, whose deepest level, pooled, tells the class of the image.

    Parameters lie side by side with the encoder's, as in torch's files: those of a whole file fit.
    """

    encoder: nn.Module
    num_classes: int = 1000
    dense: str = "fc"
    """The name of the last layer: "fc" of ResNet, "classifier_1" of MobileNetV2, "classifier" of EfficientNet."""
    conv: tuple[str, str] | None = None
    """The names of a 1x1 convolution and its normalisation before the pooling; None for none."""
    width: int = 1280
    """Channels of that convolution."""
    activation: Callable[[Array], Array] = nn.relu6
    """After that convolution."""

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
        wide = jnp.promote_types(x.dtype, jnp.float32)
        return nn.Dense(self.num_classes, dtype=wide, name=self.dense)(x.mean((1, 2)))
