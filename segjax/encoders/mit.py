"""Mix Transformers, SegFormer's encoders (Xie et al. 2021), by the names of their published files."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check, check_numbers
from segjax.layers import Conv, DropPath, drop_path_rates
from segjax.layers.transformer import attend, dense, gelu, layer_norm
from segjax.level import Level, Parts, level_at
from segjax.ops.geometry import symbolic

TORCH_UNUSED = r"head\."
"""Names of published files that the encoder has no place for: the classifier's."""

_REDUCTIONS = (8, 4, 2, 1)
_HEADS = (1, 2, 5, 8)
_EPSILON_OF_EMBEDDINGS = 1e-5  # of the norms after convolutions; blocks and stages have 1e-6


class MixTransformer(nn.Module):
    """A pyramid of transformers that know places only by their convolutions, so that any size works.

    Patches overlap, keys and values come from a feature map made smaller, and a depthwise convolution stands in the
    perceptron of each block.

    Examples:
        >>> encoder = encoders.MixTransformer((32, 64, 64, 64), (1, 1, 1, 1), depth=2)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(4, (1, 9, 12, 32)), (8, (1, 5, 6, 64))]
    """

    widths: tuple[int, ...]
    """Channels of each of the four stages."""
    blocks: tuple[int, ...]
    """Blocks of each stage."""
    depth: int = 4
    """How many levels are made."""
    drop_path: float = 0.0
    """The share of images that the last block's branches are left out for while training; earlier ones less."""
    epsilon: float = 1e-6
    """Of the norms of blocks and stages, as published; transformers has 1e-5."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each block again instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        return tuple((f"patch_embed{i}", f"block{i}", f"norm{i}") for i in range(1, self.depth + 1))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """Levels at strides 4, 8, 16 and 32."""
        check_numbers(widths=self.widths, blocks=self.blocks)
        check(image, self.depth, min(len(self.widths), len(self.blocks)))
        block = nn.remat(_Block, static_argnums=(2,)) if self.remat else _Block
        rates = drop_path_rates(self.drop_path, self.blocks)
        levels: list[Level] = []
        x = image
        for i, width in enumerate(self.widths[: self.depth]):
            window, step = (3, 2) if levels else (7, 4)
            x = _PatchEmbedding(width, window, step, self.dtype, name=f"patch_embed{i + 1}")(x)
            for j, rate in enumerate(rates[i]):
                x = block(_HEADS[i], _REDUCTIONS[i], rate, self.epsilon, self.dtype, name=f"block{i + 1}_{j}")(x, train)
            x = layer_norm(epsilon=self.epsilon, dtype=self.dtype, name=f"norm{i + 1}")(x)
            levels.append(level_at(image, 4 * 2**i, x))
        return tuple(levels)


class _PatchEmbedding(nn.Module):
    width: int
    window: int
    step: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Conv(self.width, self.window, self.window // 2, stride=self.step, dtype=self.dtype, name="proj")(x)
        return layer_norm(epsilon=_EPSILON_OF_EMBEDDINGS, dtype=self.dtype, name="norm")(x)


class _Block(nn.Module):
    heads: int
    reduction: int
    drop_path: float
    epsilon: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        norm = partial(layer_norm, epsilon=self.epsilon, dtype=self.dtype)
        attention = _Attention(self.heads, self.reduction, self.dtype, name="attn")
        mlp = _Mlp(4 * x.shape[-1], self.dtype, name="mlp")
        drop = DropPath(self.drop_path)
        x = x + drop(attention(norm(name="norm1")(x)), train=train)
        return x + drop(mlp(norm(name="norm2")(x)), train=train)


class _Attention(nn.Module):
    """Every place attends to windows of `reduction` x `reduction` places, each made one."""

    heads: int
    reduction: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        _, height, width, channels = x.shape
        read = x
        if self.reduction > 1:
            # Whole windows only; of a map smaller than one, that one. A size that is a symbol of `jax.export` has some.
            sides = [self.reduction if symbolic(length) else length for length in (height, width)]
            read = jnp.pad(read, ((0, 0), *((0, max(self.reduction - side, 0)) for side in sides), (0, 0)))
            window = {"window": self.reduction, "stride": self.reduction, "padding": "VALID"}
            read = Conv(channels, **window, dtype=self.dtype, name="sr")(read)
            read = layer_norm(epsilon=_EPSILON_OF_EMBEDDINGS, dtype=self.dtype, name="norm")(read)
        q = dense(channels, dtype=self.dtype, name="q")(_tokens(x))
        k, v = jnp.split(dense(2 * channels, dtype=self.dtype, name="kv")(_tokens(read)), 2, axis=-1)
        y = attend(q, k, v, self.heads)
        return dense(channels, dtype=self.dtype, name="proj")(y).reshape(x.shape)


class _Mlp(nn.Module):
    hidden: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        hidden = dense(self.hidden, dtype=self.dtype, name="fc1")(x)
        hidden = gelu(_Depthwise(self.dtype, name="dwconv")(hidden))
        return dense(x.shape[-1], dtype=self.dtype, name="fc2")(hidden)


class _Depthwise(nn.Module):
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        return Conv(width, 3, 1, groups=width, dtype=self.dtype, name="dwconv")(x)


mit_b0: partial[MixTransformer] = partial(MixTransformer, (32, 64, 160, 256), (2, 2, 2, 2))
mit_b1: partial[MixTransformer] = partial(MixTransformer, (64, 128, 320, 512), (2, 2, 2, 2))
mit_b2: partial[MixTransformer] = partial(MixTransformer, (64, 128, 320, 512), (3, 4, 6, 3))
mit_b3: partial[MixTransformer] = partial(MixTransformer, (64, 128, 320, 512), (3, 4, 18, 3))
mit_b4: partial[MixTransformer] = partial(MixTransformer, (64, 128, 320, 512), (3, 8, 27, 3))
mit_b5: partial[MixTransformer] = partial(MixTransformer, (64, 128, 320, 512), (3, 6, 40, 3))


def _tokens(x: Array) -> Array:
    n, height, width, channels = x.shape
    return x.reshape(n, height * width, channels)
