"""Letterbox: an image made to fit another size without changing its aspect, and its boxes with it."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Real, Shaped

from segjax.ops.boxes.forms import checked
from segjax.ops.geometry import Pair, pair
from segjax.ops.resize import resize
from segjax.ops.taps import ResizeMethod


class Letterbox(NamedTuple):
    """Where an image comes to lie in another; all sizes are (height, width), all numbers whole pixels."""

    input_size: Pair
    inner_size: Pair
    """Of the image once it is resized: the scale of each axis is this over `input_size`."""
    corner: Pair
    """Row and column of the output where the resized image begins."""
    output_size: Pair

    def boxes(self, boxes: Real[ArrayLike, "*n 4"]) -> Float[Array, "*n 4"]:
        """Boxes (x, y, w, h) of the input as boxes of the output.

        Raises:
            ValueError: where the last axis is not 4.
        """
        boxes = checked(boxes)
        before, after, corner = self._as_boxes(boxes)
        return boxes * after / before + corner

    def boxes_back(self, boxes: Real[ArrayLike, "*n 4"]) -> Float[Array, "*n 4"]:
        """Boxes of the output as boxes of the input, the inverse of `boxes`; they may reach over its edge."""
        boxes = checked(boxes)
        before, after, corner = self._as_boxes(boxes)
        return (boxes - corner) * before / after

    def image(
        self, image: Shaped[Array, "n h w c"], method: ResizeMethod = "bilinear", *, fill: float = 0
    ) -> Shaped[Array, "n height width c"]:
        """The image in the letterbox, `fill` around it; for a mask (n h w 1) method "nearest" and 255.

        Raises:
            ValueError: where the image is not of `input_size`.
        """
        if image.shape[1:3] != self.input_size:
            raise ValueError(f"this letterbox is for images of size {self.input_size}, got shape {image.shape}.")
        around = [
            (start, whole - start - inner)
            for start, whole, inner in zip(self.corner, self.output_size, self.inner_size, strict=True)
        ]
        inner = resize(image, self.inner_size, method)
        return jnp.pad(inner, ((0, 0), *around, (0, 0)), constant_values=fill)

    def image_back(
        self, image: Shaped[Array, "n height width c"], method: ResizeMethod = "bilinear"
    ) -> Shaped[Array, "n h w c"]:
        """What lies in the letterbox, logits for example, at the size of the input.

        Raises:
            ValueError: where the image is not of `output_size`.
        """
        if image.shape[1:3] != self.output_size:
            raise ValueError(f"this letterbox makes images of size {self.output_size}, got shape {image.shape}.")
        (top, left), (height, width) = self.corner, self.inner_size
        return resize(image[:, top : top + height, left : left + width], self.input_size, method)

    def _as_boxes(self, boxes: Array) -> list[Array]:
        """Input size, inner size and corner as what x, y, w and h are multiplied by and moved by."""
        (height, width), (inner_height, inner_width), (top, left) = self.input_size, self.inner_size, self.corner
        rows = [width, height] * 2, [inner_width, inner_height] * 2, [left, top, 0, 0]
        return [lax.broadcast_to_rank(jnp.asarray(row, boxes.dtype), boxes.ndim) for row in rows]


def letterbox(input_size: int | Sequence[int], output_size: int | Sequence[int]) -> Letterbox:
    """The letterbox in which an image of `input_size` fits in the middle of `output_size`, as large as it can be.

    Both are (height, width) or one int for both. The resized image has whole pixels, at least one along each axis, so
    that the scales of the axes can differ by half a pixel over its length: boxes follow the image, not the aspect.

    Raises:
        ValueError: where a size is below 1.

    Examples:
        >>> fit = ops.boxes.letterbox((100, 200), 64)
        >>> fit
        Letterbox(input_size=(100, 200), inner_size=(32, 64), corner=(16, 0), output_size=(64, 64))
    """
    before, after = pair(input_size, "input_size"), pair(output_size, "output_size")
    scale = min(after[0] / before[0], after[1] / before[1])
    height, width = (min(max(round(side * scale), 1), most) for side, most in zip(before, after, strict=True))
    return Letterbox(before, (height, width), ((after[0] - height) // 2, (after[1] - width) // 2), after)
