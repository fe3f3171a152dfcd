"""The receptive radius, against what the layers say by arithmetic."""

import flax.linen as nn
import jax.numpy as jnp
import pytest

from segjax.inference import receptive_radius


class Chain(nn.Module):
    """3x3 convolutions in a row, each with normalisation and ReLU."""

    count: int
    dilation: int = 1

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = jnp.asarray(image, jnp.float32) / 255 - 0.5
        for _ in range(self.count):
            x = nn.Conv(4, (3, 3), kernel_dilation=self.dilation)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        return nn.Conv(2, (1, 1))(x)


class Residual(nn.Module):
    """A branch that its initial scale of zero switches off."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(4, (1, 1))(jnp.asarray(image, jnp.float32) / 255)
        branch = nn.Conv(4, (7, 7))(x)
        return x + nn.BatchNorm(use_running_average=not train, scale_init=nn.initializers.zeros)(branch)


class Pooled(nn.Module):
    """A 3x3 convolution at half the resolution."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(4, (1, 1))(jnp.asarray(image, jnp.float32) / 255)
        x = nn.Conv(2, (3, 3))(nn.max_pool(x, (2, 2), (2, 2)))
        return x.repeat(2, axis=1).repeat(2, axis=2)


class Global(nn.Module):
    """Every pixel sees the mean of the image."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = nn.Conv(2, (1, 1))(jnp.asarray(image, jnp.float32) / 255)
        return x + x.mean((1, 2), keepdims=True)


@pytest.mark.parametrize(
    ("model", "channels", "radius"),
    [
        (Chain(0), 3, 0),
        (Chain(3), 1, 3),
        (Chain(2, dilation=12), 3, 24),
        (Residual(), 3, 3),
        # The two pixels before an edge on the pooling grid share a cell whose neighbour lies across it.
        (Pooled(), 3, 2),
        (Global(), 4, 256),
    ],
)
def test_radius(model: nn.Module, channels: int, radius: int):
    assert receptive_radius(model, channels) == radius
