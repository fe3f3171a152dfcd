"""Swin Transformer V2 (Liu et al. 2022), by timm's names."""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import constant, zeros
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check, check_numbers
from segjax.errors import counts
from segjax.layers import Conv, DropPath, drop_path_rates, pad_up
from segjax.layers.transformer import Mlp, dense, layer_norm, of_a_head
from segjax.level import Level, Parts, level_at
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import at_least_float32

TORCH_UNUSED = r"head\.|norm\.|.*\.(attn_mask|relative_\w+)$"
"""Names of timm's files that the encoder has no place for: the classifier's, the norm before it, and tables."""

_norm = partial(layer_norm, epsilon=1e-5)
_HIDDEN_OF_BIAS = 512
_LARGEST_SCALE = 100.0
_OTHER_REGION = -100.0


class SwinV2(nn.Module):
    """Attention by cosines within windows, which every second block shifts by half.

    What does not divide into patches, pairs or windows is padded with zeros at the bottom and right.

    Examples:
        >>> encoder = encoders.SwinV2(32, (1, 2, 4, 8), (1, 1, 1, 1), depth=2)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(4, (1, 9, 12, 32)), (8, (1, 5, 6, 64))]
    """

    width: int
    """Channels of the first stage; each has twice as many as the one before."""
    heads: tuple[int, ...]
    blocks: tuple[int, ...]
    """Blocks of each of the four stages."""
    window: int = 8
    trained_size: int = 256
    """Rows, and columns, of the images of training; a stage whose map was no larger than a window does not shift it."""
    depth: int = 4
    """How many levels are made."""
    drop_path: float = 0.0
    """The share of images that the last block's branches are left out for while training; earlier ones less."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each block again instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        return (("patch_embed",), *((f"layers_{i}",) for i in range(self.depth)))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """Levels at strides 4, 8, 16 and 32."""
        check_numbers(width=self.width, heads=self.heads, blocks=self.blocks, window=self.window)
        check(image, self.depth, min(len(self.heads), len(self.blocks)))
        counts(4 * 2 ** (self.depth - 1), trained_size=self.trained_size)  # a place of the last level, at the least
        block = nn.remat(_Block, static_argnums=(2,)) if self.remat else _Block
        rates = drop_path_rates(self.drop_path, self.blocks)
        x = _PatchEmbedding(self.width, self.dtype, name="patch_embed")(image)
        levels: list[Level] = []
        for i, heads in enumerate(self.heads[: self.depth]):
            stride = 4 * 2**i
            trained = self.trained_size // stride
            window = min(self.window, trained)
            shift = window // 2 if trained > window else 0
            made = partial(block, heads, window, dtype=self.dtype)
            x = _Stage(made, shift, rates[i], i > 0, self.dtype, name=f"layers_{i}")(x, train)
            levels.append(level_at(image, stride, x))
        return tuple(levels)


class _PatchEmbedding(nn.Module):
    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, image: Array) -> Array:
        x = Conv(self.width, 4, "VALID", stride=4, dtype=self.dtype, name="proj")(pad_up(image, 4))
        return _norm(dtype=self.dtype, name="norm")(x)


class _Stage(nn.Module):
    block: Callable[..., nn.Module]
    shift: int
    """Of every second block."""
    rates: list[float]
    merges: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        if self.merges:
            x = _Merging(self.dtype, name="downsample")(x)
        for i, rate in enumerate(self.rates):
            x = self.block(shift=i % 2 * self.shift, drop_path=rate, name=f"blocks_{i}")(x, train)
        return x


class _Merging(nn.Module):
    """Every 2x2 places become one of twice the width."""

    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        x = _in_fours(pad_up(x, 2))
        x = dense(2 * width, use_bias=False, dtype=self.dtype, name="reduction")(x)
        return _norm(dtype=self.dtype, name="norm")(x)


class _Block(nn.Module):
    """The norms stand after the branches, which keeps deep networks calm."""

    heads: int
    window: int
    shift: int
    drop_path: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        attention = _WindowAttention(self.heads, self.window, self.shift, self.dtype, name="attn")
        mlp = Mlp(4 * x.shape[-1], self.dtype, name="mlp")
        drop = DropPath(self.drop_path)
        x = x + drop(_norm(dtype=self.dtype, name="norm1")(attention(x)), train=train)
        return x + drop(_norm(dtype=self.dtype, name="norm2")(mlp(x)), train=train)


@on_any_mesh
def _in_fours(x: Array) -> Array:
    """Features (n 2*h 2*w c) as (n h w 4*c): column by column, as the published weights have it."""
    n, height, width, channels = x.shape
    fours = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 4, 2, 5)
    return fours.reshape(n, height // 2, width // 2, 4 * channels)


@on_any_mesh
def _in_windows(x: Array, side: int) -> Array:
    """Features (n h w c) as (n windows places c), of windows of side x side places."""
    n, height, width, channels = x.shape
    windows = x.reshape(n, height // side, side, width // side, side, channels).swapaxes(2, 3)
    return windows.reshape(n, height // side * (width // side), side**2, channels)


@on_any_mesh
def _out_of_windows(x: Array, rows: int, columns: int) -> Array:
    """The way back, from so many rows and columns of windows."""
    n, _, places, channels = x.shape
    side = math.isqrt(places)
    y = x.reshape(n, rows, columns, side, side, channels).swapaxes(2, 3)
    return y.reshape(n, rows * side, columns * side, channels)


class _WindowAttention(nn.Module):
    heads: int
    window: int
    shift: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        height, width = x.shape[1:3]
        side = self.window
        shifted = pad_up(jnp.roll(x, (-self.shift, -self.shift), (1, 2)), side)
        rows, columns = (length // side for length in shifted.shape[1:3])
        y = self._attended(_in_windows(shifted, side), _regions(rows, columns, side, self.shift))
        y = _out_of_windows(y, rows, columns)
        return jnp.roll(y[:, :height, :width], (self.shift, self.shift), (1, 2))

    def _attended(self, x: Array, regions: np.ndarray) -> Array:
        """Within windows (n windows places c), and there only within regions (windows places)."""
        channels = x.shape[-1]
        q, k, v = jnp.split(dense(3 * channels, use_bias=False, dtype=self.dtype, name="qkv")(x), 3, axis=-1)
        q = q + self.param("q_bias", zeros, (channels,), jnp.float32).astype(self.dtype)[None, None, None]
        v = v + self.param("v_bias", zeros, (channels,), jnp.float32).astype(self.dtype)[None, None, None]
        each_head = of_a_head(channels, self.heads)
        q, k, v = (each.reshape(*each.shape[:3], self.heads, each_head) for each in (q, k, v))
        wide = at_least_float32(x.dtype)
        scale = self.param("logit_scale", constant(np.log(10)), (self.heads, 1, 1), jnp.float32)
        scale = jnp.exp(jnp.minimum(scale.astype(wide), math.log(_LARGEST_SCALE)))
        cosines = jnp.einsum("nwthc,nwshc->nwhts", _unit(q.astype(wide)), _unit(k.astype(wide)))
        logits = cosines * scale[None, None] + self._bias().astype(wide)[None, None]
        apart = regions[:, None, :, None] != regions[:, None, None, :]
        weights = jax.nn.softmax(jnp.where(apart, logits + _OTHER_REGION, logits))
        y = jnp.einsum("nwhts,nwshc->nwthc", weights.astype(self.dtype), v).reshape(x.shape)
        return dense(channels, dtype=self.dtype, name="proj")(y)

    def _bias(self) -> Array:
        """What a perceptron makes of how far two places of a window are apart (heads places places)."""
        distances, pairs = _distances(self.window)
        hidden = nn.relu(dense(_HIDDEN_OF_BIAS, dtype=self.dtype, name="cpb_mlp_0")(jnp.asarray(distances, self.dtype)))
        table = dense(self.heads, use_bias=False, dtype=self.dtype, name="cpb_mlp_2")(hidden)
        return 16 * nn.sigmoid(table[pairs]).transpose(2, 0, 1)


def _unit(x: Array) -> Array:
    """Along the channels; zero stays zero."""
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-24))


@lru_cache
def _distances(side: int) -> tuple[np.ndarray, np.ndarray]:
    """All distances between places of a window, by the logarithm, and which of them each pair of places has."""
    along = np.arange(1 - side, side)
    scaled = 8 * along / max(side - 1, 1)
    logarithmic = np.sign(scaled) * np.log2(np.abs(scaled) + 1) / np.log2(8)
    distances = np.stack(np.meshgrid(logarithmic, logarithmic, indexing="ij"), axis=-1).reshape(-1, 2)
    rows, columns = (each.ravel() for each in np.indices((side, side)))
    apart = [each[:, None] - each[None] + side - 1 for each in (rows, columns)]
    return distances, apart[0] * (2 * side - 1) + apart[1]


def _regions(rows: int, columns: int, side: int, shift: int) -> np.ndarray:
    """The part of the image that each place of each window came from (windows places): shifting joins what is apart."""

    def along(count: int) -> np.ndarray:
        places = np.arange(count * side)
        last = (count - 1) * side
        return (places >= last).astype(int) + (places >= last + side - shift)

    regions = 3 * along(rows)[:, None] + along(columns)[None] if shift else np.zeros((rows * side, columns * side), int)
    return regions.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side**2)


swinv2_tiny: partial[SwinV2] = partial(SwinV2, 96, (3, 6, 12, 24), (2, 2, 6, 2))
swinv2_small: partial[SwinV2] = partial(SwinV2, 96, (3, 6, 12, 24), (2, 2, 18, 2))
swinv2_base: partial[SwinV2] = partial(SwinV2, 128, (4, 8, 16, 32), (2, 2, 18, 2))
