"""Models that read objects off the pixels, what they are shown, and what there is to find in it."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from segjax import models
from segjax.ops import boxes


class Marked(nn.Module):
    """A red pixel is an object's centre: above 192 of class 1; the redder the surer, and green by blue pixels large."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        red, green, blue = jnp.moveaxis(jnp.asarray(image, jnp.float32), -1, 0)
        second = red > 192
        heatmap = jnp.stack([jnp.where(second, -8, (red - 128) / 16), jnp.where(second, (red - 192) / 16, -8)], -1)
        return models.Centers(
            heatmap=heatmap,
            size=jnp.stack([green, blue], -1),
            offset=jnp.full((*red.shape, 2), 0.5),
            attributes=jnp.stack([green - blue, blue - green], -1) / 16,
            stride=1,
        )


class Bright(nn.Module):
    """One object, the smallest box around all bright pixels; it is of class 1 where it is blue."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        image = jnp.asarray(image, jnp.float32)
        bright = image.max(-1) > 127
        blue = jnp.where(bright, image[..., 2] - image[..., 0], 0).sum((1, 2)) > 0
        return models.Located(
            boxes.from_mask(bright), jnp.where(blue[:, None], jnp.array([0.0, 3]), jnp.array([3.0, 0]))
        )


def marked(height: int, width: int, *objects: tuple[int, int, int, int, int]) -> np.ndarray:
    """A picture for `Marked` with objects (column, row, red, width, height)."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, *colour in objects:
        image[y, x] = colour
    return image


def bright(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((height, width, 3), 20, np.uint8)
    x, y, w, h = box
    image[y : y + h, x : x + w] = 230
    return image


OBJECTS = ((5, 4, 176, 6, 4), (30, 20, 240, 10, 8), (44, 29, 144, 9, 21), (20, 10, 120, 5, 5))
EXPECTED = [  # the last ones reach over the edge of the picture, or are less probable than 0.5
    ([2.5, 2.5, 6, 4], 0, 1 / (1 + np.exp(-3))),
    ([25.5, 16.5, 10, 8], 1, 1 / (1 + np.exp(-3))),
    ([40, 19, 7, 12], 0, 1 / (1 + np.exp(-1))),
    ([18, 8, 5, 5], 0, 1 / (1 + np.exp(0.5))),
]
