"""MultiHead: the mask, the box and the class of one object from one encoder."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import zeros
from jaxtyping import Array, Float

from segjax.level import from_image
from segjax.models.asked import check_parts
from segjax.models.localizer import ImageClass, Located
from segjax.ops.boxes import Detections

HEADS = ("mask", "box", "class")
"""What `MultiHeadOutputs.log_variances` has one of each for."""


class MultiHeadOutputs(NamedTuple):
    """What there is in each image, with a mask, and what the losses of the three tasks weigh."""

    mask: Float[Array, "n h w d"]
    """Logits of every pixel, background first."""
    box: Float[Array, "n 4"]
    """(x, y, w, h) in pixels of the image."""
    logits: Float[Array, "n k"]
    """Of its classes."""
    log_variances: dict[str, Float[Array, " n"]]
    """Of each head, as `losses.uncertainty_weighted_sum` takes them, the same for each image: a batch can be split."""

    def detections(self, max_boxes: int = 1) -> Detections:
        """The one object of each image, as a model of many gives them."""
        return Located(self.box, self.logits).detections(max_boxes)


class MultiHead(nn.Module):
    """One encoder, whose levels a head each reads a mask and a box from, and whose deepest level tells the class.

    The log variances by which the losses may be weighted (Kendall et al. 2018) are parameters, 0 at first.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> decoder, box = decoders.UNetDecoder(), models.RegressedBox(grid=2, width=8)
        >>> model = models.MultiHead(2, encoder, decoder, box)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> [one.shape for one in jax.tree.leaves(jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))))]
        [(1, 8, 12, 8), (1, 4), (1, 2), (1,), (1,), (1,)]
    """

    num_classes: int
    encoder: nn.Module
    mask: nn.Module
    """`MaskBox`, of which the mask is taken."""
    box: nn.Module
    """`RegressedBox` or `ExtremePointBox`."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> MultiHeadOutputs:
        """Mask, box and class; float32."""
        check_parts(self)
        levels = from_image(self.encoder(image, train=train), image)
        _, mask = self.mask(levels, train=train)
        box, _ = self.box(levels, train=train)
        logits = ImageClass(self.num_classes, name="classes")(levels)
        learned = self.param("log_variances", zeros, (len(HEADS),))
        return MultiHeadOutputs(
            mask, box, logits, {head: jnp.full(image.shape[0], learned[i]) for i, head in enumerate(HEADS)}
        )
