"""CenterNet: every object as a point, the peak of a heatmap, with its size and its scores."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax.nn.initializers import constant
from jaxtyping import Array, Bool, Float, Int

from segjax import ops
from segjax.layers import ConvBlock
from segjax.level import from_image
from segjax.models.asked import check_parts
from segjax.ops.boxes import Detections

_RARE = -math.log((1 - 0.1) / 0.1)
"""So that a heatmap begins at 0.1 everywhere: most cells have no object (Lin et al. 2017, "Focal Loss")."""


class Centers(struct.PyTreeNode):
    """Maps of objects' centres; what each is compared with is in `ops.CenterTargets`."""

    heatmap: Float[Array, "n h w k"]
    """Logits of an object of each class having its centre in the cell."""
    size: Float[Array, "n h w 2"]
    """Width and height of that object, in cells."""
    offset: Float[Array, "n h w 2"]
    """From the upper left corner of the cell to the centre, in cells."""
    attributes: Float[Array, "n h w a"] | None
    """Logits of the object's attributes."""
    stride: int = struct.field(pytree_node=False)
    """Pixels of the image in a cell, along each axis."""

    def targets(
        self, true_boxes: Float[Array, "n m 4"], labels: Int[Array, "n m"], crowd: Bool[Array, "n m"] | None = None
    ) -> ops.CenterTargets:
        """What these maps are compared with; boxes in pixels of the image, labels below 0 where there is none."""
        size, num_classes = self.heatmap.shape[1:3], self.heatmap.shape[3]
        return ops.center_targets(true_boxes, labels, crowd, size=size, stride=self.stride, num_classes=num_classes)

    def detections(self, max_boxes: int = 100) -> Detections:
        """The `max_boxes` highest peaks of each image, which stand for non-maximum suppression."""
        peaks = ops.find_peaks(self.heatmap, max_boxes)
        attributes = self.attributes
        return Detections(
            boxes=ops.boxes_at_peaks(peaks, self.size, self.offset, stride=self.stride),
            labels=peaks.labels,
            scores=peaks.scores,
            class_scores=jax.nn.sigmoid(ops.values_at_peaks(peaks, self.heatmap)),
            attributes=None if attributes is None else jax.nn.sigmoid(ops.values_at_peaks(peaks, attributes)),
        )

    def averaged(
        self, others: Sequence["Centers"], flips: Sequence[tuple[int, ...]], size: tuple[int, int]
    ) -> "Centers":
        """The mean of these maps and of those of the same image turned round, which are turned back.

        Heatmaps and attributes are averaged as probabilities.

        Args:
            others: of the same image, flipped.
            flips: the axes that each was flipped along: 0 for rows, 1 for columns.
            size: height and width of the image.

        Raises:
            ValueError: a size that is no multiple of the stride, so that the cells of a flipped image are others.
        """
        if size[0] % self.stride or size[1] % self.stride:
            raise ValueError(f"an image of {size} is no multiple of the stride {self.stride}: its cells do not flip.")

        def back(maps: Centers, axes: tuple[int, ...]) -> Centers:
            turned = jax.tree.map(lambda x: jnp.flip(x, [axis + 1 for axis in axes]), maps)
            mirrored = jnp.array([1 in axes, 0 in axes])[None, None, None]  # of x and y
            return turned.replace(offset=jnp.where(mirrored, 1 - turned.offset, turned.offset))

        views = [self, *map(back, others, flips)]

        def mean(of_views: Iterable[Array]) -> Array:
            return jnp.stack([*of_views]).mean(0)

        def mean_of_logits(name: str) -> Array:
            probability = mean(jax.nn.sigmoid(getattr(one, name)) for one in views)
            return jax.scipy.special.logit(jnp.clip(probability, 1e-7, 1 - 1e-7))

        return self.replace(
            heatmap=mean_of_logits("heatmap"),
            size=mean(one.size for one in views),
            offset=mean(one.offset for one in views),
            attributes=None if self.attributes is None else mean_of_logits("attributes"),
        )


class CenterNet(nn.Module):
    """Objects as points (Zhou et al. 2019): an encoder-decoder, and a head each for heatmap, size, offset, attributes.

    A cell has the stride where the decoder ends; the paper's has 4.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.CenterNet(2, encoder, decoders.UNetDecoder(finest_stride=2), hidden=8)
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))).heatmap.shape
        (1, 8, 12, 2)
    """

    num_classes: int
    encoder: nn.Module
    decoder: nn.Module
    num_attributes: int = 0
    block: Callable[..., nn.Module] = partial(ConvBlock, norm=None)
    """The hidden convolution of each head, called as `block(widths, name=...)(x, train=...)`."""
    hidden: int = 64
    """Channels of the 3x3 convolution of each head."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Centers:
        """The maps, float32."""
        check_parts(self)
        level = self.decoder(from_image(self.encoder(image, train=train), image), train=train)[0]

        def head(name: str, features: int, bias: float = 0.0) -> Float[Array, "n h w features"]:
            hidden = self.block((self.hidden,), name=f"{name}_hidden")(level.features, train=train)
            last = partial(nn.Conv, features, (1, 1), dtype=jnp.float32, bias_init=constant(bias))
            return last(name=name)(hidden)

        return Centers(
            heatmap=head("heatmap", self.num_classes, _RARE),
            size=head("size", 2),
            offset=head("offset", 2, 0.5),
            attributes=head("attributes", self.num_attributes) if self.num_attributes else None,
            stride=level.stride,
        )
