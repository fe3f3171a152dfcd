"""Localizer: the box and the class of one object, with three ways to read the box from an encoder's levels."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from segjax import ops
from segjax.layers import largest
from segjax.level import Level, from_image
from segjax.models.asked import check_parts
from segjax.ops import boxes
from segjax.ops.boxes import Detections
from segjax.upsampling import Bilinear


class Located(NamedTuple):
    """Where the one object of each image is."""

    box: Float[Array, "n 4"]
    """(x, y, w, h) in pixels of the image."""
    logits: Float[Array, "n k"]
    """Of its classes."""
    mask: Float[Array, "n h w d"] | None = None
    """Logits of every pixel, background first, where the box was read from a mask."""

    def detections(self, max_boxes: int = 1) -> Detections:
        """The one object of each image, as a model of many gives them."""
        del max_boxes
        scores = jax.nn.softmax(self.logits)[:, None]
        return Detections(self.box[:, None], scores.argmax(-1), scores.max(-1), scores)

    def averaged(
        self, others: Sequence["Located"], flips: Sequence[tuple[int, ...]], size: tuple[int, int]
    ) -> "Located":
        """The mean of this and of what is found in the same image flipped along those axes, 0 for rows, 1 for columns.

        `size` is the image's height and width; the mask stays this one.
        """

        def back(box: Array, axes: tuple[int, ...]) -> Array:
            mirrored = jnp.array([[1 in axes, 0 in axes]])  # of x and y
            corner = jnp.where(mirrored, jnp.array([size[::-1]], box.dtype) - box[:, :2] - box[:, 2:], box[:, :2])
            return jnp.concatenate([corner, box[:, 2:]], axis=-1)

        boxes = jnp.stack([self.box, *(back(one.box, axes) for one, axes in zip(others, flips, strict=True))])
        return self._replace(
            box=boxes.mean(0), logits=jnp.stack([self.logits, *(one.logits for one in others)]).mean(0)
        )


class Localizer(nn.Module):
    """An encoder, whose levels `head` reads a box from, and whose deepest level, pooled, tells the class.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Localizer(2, encoder, models.RegressedBox(grid=2, width=8))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))).box.shape
        (1, 4)
    """

    num_classes: int
    encoder: nn.Module
    head: nn.Module
    """`RegressedBox`, `ExtremePointBox` or `MaskBox`: called as `head(levels, train=...)`, the image's place first."""

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> Located:
        """The box, the logits of the classes, and those of the mask if the head makes one; float32."""
        check_parts(self)
        levels = from_image(self.encoder(image, train=train), image)
        box, mask = self.head(levels, train=train)
        return Located(box, ImageClass(self.num_classes, name="classes")(levels), mask)


class ImageClass(nn.Module):
    """The class of an image by a dense layer on the mean and the maximum of each channel of its deepest level."""

    num_classes: int

    @nn.compact
    def __call__(self, levels: tuple[Level, ...]) -> Float[Array, "n num_classes"]:
        """Logits, float32."""
        features = levels[-1].features
        assert features is not None
        pooled = jnp.concatenate([features.mean((1, 2)), largest(features)], axis=-1)
        return nn.Dense(self.num_classes, dtype=jnp.float32, name="logits")(pooled)


class RegressedBox(nn.Module):
    """A box by dense layers on the deepest level, averaged over a grid of cells.

    The grid keeps where something is, which one average over the whole image would leave to what the padding gives
    away. The centre lies in the image, and the size is at most the image's.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Localizer(2, encoder, models.RegressedBox(grid=2, width=8))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))).box.shape
        (1, 4)
    """

    grid: int = 4
    """Cells along each axis."""
    width: int = 128

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Float[Array, "n 4"], None]:
        """The box in pixels of the image, and no mask."""
        (rows, columns), x = levels[0].size, levels[-1].features
        assert x is not None
        x = ops.adaptive_avg_pool(x, self.grid)
        x = nn.relu(nn.Dense(self.width, name="hidden")(x.reshape(x.shape[0], -1)))
        x = jax.nn.sigmoid(nn.Dense(4, dtype=jnp.float32, name="box")(x))
        return boxes.convert(x * jnp.array([[columns, rows] * 2], jnp.float32), "cxcywh", "xywh"), None


class ExtremePointBox(nn.Module):
    """A box by four heatmaps: its left, top, right and bottom sides run through the soft-argmax of one each.

    Each map learns to peak where the object reaches farthest to one side (Zhou, Zhuo and Krähenbühl 2019, "Bottom-up
    Object Detection by Grouping Extreme and Center Points"), which can be seen there, where a corner lies off the
    object. The position is the mean of a softmax over cells, finer than a cell, and has a gradient (Luvizon et al.
    2019).

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Localizer(2, encoder, models.ExtremePointBox(decoders.UNetDecoder()))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))).box.shape
        (1, 4)
    """

    decoder: nn.Module

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Float[Array, "n 4"], None]:
        """The box in pixels of the image, and no mask."""
        rows, columns = levels[0].size
        level = self.decoder(levels, train=train)[0]
        maps = nn.Conv(4, (1, 1), dtype=jnp.float32, name="extremes")(level.features)
        # The last cell may lie half beyond the image.
        points = jnp.minimum(ops.soft_argmax(maps) * level.stride, jnp.array([[[columns, rows]]], jnp.float32))
        first = jnp.stack([points[:, 0, 0], points[:, 1, 1]], axis=-1)
        second = jnp.stack([points[:, 2, 0], points[:, 3, 1]], axis=-1)
        # Before they have learned they lie in any order, and a box of negative size would have no gradient.
        low, high = jnp.minimum(first, second), jnp.maximum(first, second)
        return jnp.concatenate([low, high - low], axis=-1), None


class MaskBox(nn.Module):
    """The box around the mask of a segmentation model.

    It is the smallest box around the connected component of the most probable place, where a pixel counts that is at
    least half as probable as the most probable one: other objects do not widen it, and it is never empty. It has no
    gradient; a loss of the mask trains it.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Localizer(2, encoder, models.MaskBox(2, decoders.UNetDecoder()))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 16, 24, 3))).box.shape
        (1, 4)
    """

    num_classes: int
    """Of the mask, of which the first is the background."""
    decoder: nn.Module

    @nn.compact
    def __call__(
        self, levels: tuple[Level, ...], *, train: bool
    ) -> tuple[Float[Array, "n 4"], Float[Array, "n h w d"]]:
        """The box in pixels of the image, and the mask's logits in the image's size."""
        level = self.decoder(levels, train=train)[0]
        logits = nn.Conv(self.num_classes, (1, 1), dtype=jnp.float32, name="mask")(level.features)
        logits = Bilinear(factor=level.stride)(logits, levels[0])
        probability = 1 - jax.nn.softmax(jax.lax.stop_gradient(logits))[..., 0]
        return boxes.from_mask(main_part(probability)), logits


def main_part(probability: Float[Array, "n h w"]) -> Bool[Array, "n h w"]:
    """The connected component, also by corners, of the most probable place, among what is half as probable as its best.

    The place is where the mean over 5x5 pixels is highest, so that one bright pixel does not decide; of several
    the first.
    """
    smooth = jax.lax.reduce_window(probability, 0.0, jax.lax.add, (1, 5, 5), (1, 1, 1), "SAME")
    inside = probability >= probability.max((1, 2), keepdims=True) / 2
    smooth = jnp.where(inside, smooth, -1)
    # One place: where two objects are certain, both have the highest mean, and the box would be around both.
    n, height, width = smooth.shape
    best = smooth.reshape(n, height * width).argmax(1)
    places = jnp.arange(height * width).reshape(height, width)
    seed = places[None] == best[:, None, None]

    def grow(part: tuple[Array, Array]) -> tuple[Array, Array]:
        wider = jax.lax.reduce_window(part[1], False, jax.lax.bitwise_or, (1, 3, 3), (1, 1, 1), "SAME") & inside
        return part[1], wider

    nothing = jnp.zeros_like(seed)
    return jax.lax.while_loop(lambda part: jnp.any(part[0] != part[1]), grow, (nothing, seed))[1]
