"""An encoder with levels at any strides, to climb from."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from segjax.level import level_at

WIDTHS = {2: 6, 4: 8, 8: 12, 16: 20, 32: 28}
KINDS = {"resnet": (2, 4, 8, 16, 32), "mit": (4, 8, 16, 32), "dilated": (2, 4, 8, 8, 8), "vit": (16, 16, 16, 16)}


class Strided(nn.Module):
    """An encoder with levels at the given strides, as ResNet (2 to 32), MiT (4 to 32) and dilated ones have."""

    strides: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image, *, train):
        levels, x, now = [], image, 1
        for i, stride in enumerate(self.strides):
            step = stride // now
            x = jnp.pad(x, ((0, 0), *((0, -length % step) for length in x.shape[1:3]), (0, 0)))
            x = nn.Conv(WIDTHS[stride], (step, step), step, "VALID", dtype=self.dtype, name=f"stage{i}")(x)
            levels.append(level_at(image, stride, x))
            now = stride
        return tuple(levels)
