"""DenseNet (Huang et al. 2017), by the names of torchvision and timm."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.encoders.asked import check, check_numbers
from segjax.layers import Conv, batch_norm
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"classifier\."
"""Names of published files that the encoder has no place for: the classifier's."""


class DenseNet(nn.Module):
    """Blocks in which each layer sees what all before it made; what lies between two blocks halves size and width.

    Average pooling between blocks is in ceil mode, so that any size works.

    Examples:
        >>> encoder = encoders.DenseNet(4, (1, 1, 1, 1))
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(2, (1, 17, 24, 8)), (4, (1, 9, 12, 12)), (8, (1, 5, 6, 10)), (16, (1, 3, 3, 9)), (32, (1, 2, 2, 8))]
    """

    growth: int
    """Channels that each layer adds; the stem makes twice as many."""
    blocks: tuple[int, ...]
    """Layers of each of the four blocks."""
    depth: int = 5
    """How many levels are made, the stem's included."""
    in_transitions: bool = False
    """Whether a level is what the transition after its block normalises, and the deepest has no activation:
    segmentation_models_pytorch takes them there."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters and statistics are float32."""
    remat: bool = False
    """Whether the backward pass computes each layer again instead of keeping its activations (Pleiss et al. 2017)."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        parts = [("conv0", "norm0"), ("denseblock1",)]
        parts += [(f"transition{i}", f"denseblock{i + 1}") for i in range(1, len(self.blocks))]
        parts[-1] += ("norm5",)
        if self.in_transitions and 1 < self.depth < len(parts):
            parts[self.depth - 1] += (f"transition{self.depth - 1}",)
        return tuple(tuple(f"features_{name}" for name in part) for part in parts[: self.depth])

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """Levels at strides 2 to 32; the first has the indices of its 3x3 max-pooling."""
        check_numbers(growth=self.growth, blocks=self.blocks)
        check(image, self.depth, 1 + len(self.blocks))
        fields = self.growth, self.blocks, self.depth, self.in_transitions, self.dtype, self.remat
        return _Features(*fields, name="features")(image, train)


class _Features(nn.Module):
    growth: int
    blocks: tuple[int, ...]
    depth: int
    in_transitions: bool
    dtype: DTypeLike
    remat: bool

    @nn.compact
    def __call__(self, image: Array, train: bool) -> tuple[Level, ...]:
        norm = partial(batch_norm, use_running_average=not train, dtype=self.dtype)
        x = Conv(2 * self.growth, 7, 3, use_bias=False, stride=2, dtype=self.dtype, name="conv0")(image)
        stem = nn.relu(norm(name="norm0")(x))
        if self.depth == 1:
            return (level_at(image, 2, stem),)
        x, indices = ops.max_pool_with_argmax(stem, 3, strides=2, padding=1)
        levels = [level_at(image, 2, stem, indices=indices)]
        for i, layers in enumerate(self.blocks[: self.depth - 1], start=1):
            x = _DenseBlock(layers, self.growth, self.dtype, self.remat, name=f"denseblock{i}")(x, train)
            seen = x
            if i == len(self.blocks):
                seen = norm(name="norm5")(x)
                seen = seen if self.in_transitions else nn.relu(seen)
            elif self.in_transitions or i < self.depth - 1:
                inside, x = _Transition(self.dtype, name=f"transition{i}")(x, train)
                seen = inside if self.in_transitions else seen
            levels.append(level_at(image, 2 * 2**i, seen))
        return tuple(levels)


class _DenseBlock(nn.Module):
    layers: int
    growth: int
    dtype: DTypeLike
    remat: bool

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        layer = nn.remat(_DenseLayer, static_argnums=(2,)) if self.remat else _DenseLayer
        for i in range(1, self.layers + 1):
            more = layer(self.growth, self.dtype, name=f"denselayer{i}")(x, train)
            x = jnp.concatenate([x, more], axis=-1)
        return x


class _DenseLayer(nn.Module):
    growth: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        for i, (width, window) in enumerate(((4 * self.growth, 1), (self.growth, 3)), start=1):
            x = nn.relu(batch_norm(use_running_average=not train, dtype=self.dtype, name=f"norm{i}")(x))
            x = Conv(width, window, window // 2, use_bias=False, dtype=self.dtype, name=f"conv{i}")(x)
        return x


class _Transition(nn.Module):
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> tuple[Array, Array]:
        """What is normalised, and what the next block sees."""
        seen = nn.relu(batch_norm(use_running_average=not train, dtype=self.dtype, name="norm")(x))
        y = Conv(x.shape[-1] // 2, 1, use_bias=False, dtype=self.dtype, name="conv")(seen)
        return seen, ops.avg_pool(y, 2, ceil_mode=True)


densenet121: partial[DenseNet] = partial(DenseNet, 32, (6, 12, 24, 16))
densenet161: partial[DenseNet] = partial(DenseNet, 48, (6, 12, 36, 24))
densenet169: partial[DenseNet] = partial(DenseNet, 32, (6, 12, 32, 32))
densenet201: partial[DenseNet] = partial(DenseNet, 32, (6, 12, 48, 32))
