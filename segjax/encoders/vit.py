"""Plain vision transformers (Dosovitskiy et al. 2021) and DINOv2 (Oquab et al. 2024), by timm's names."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import normal, truncated_normal
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax.encoders.asked import check, check_numbers
from segjax.errors import counts
from segjax.layers import Conv, DropPath, drop_path_rates, pad_up
from segjax.layers.transformer import Attention, LayerScale, Mlp, layer_norm
from segjax.level import Level, Parts, level_at
from segjax.ops.meshes import on_any_mesh

TORCH_UNUSED = r"head\.|fc_norm\.|norm\.|mask_token$"
"""Names of timm's files that the encoder has no place for: the classifier's, and the last norm where unused."""


class VisionTransformer(nn.Module):
    """One sequence of patches through all blocks: every level has the stride of a patch.

    An image of any size is padded with zeros to whole patches, and the embedding of positions resized to their grid.

    Examples:
        >>> encoder = encoders.VisionTransformer(32, 2, 4)
        >>> image = jnp.zeros((1, 33, 47, 3))
        >>> levels = jax.eval_shape(lambda x: encoder.init_with_output(jax.random.key(0), x, train=False)[0], image)
        >>> [(level.stride, level.features.shape) for level in levels]
        [(16, (1, 3, 3, 32)), (16, (1, 3, 3, 32)), (16, (1, 3, 3, 32)), (16, (1, 3, 3, 32))]
    """

    width: int
    heads: int
    blocks: int
    patch: int = 16
    grid: int = 14
    """Rows, and columns, of patches that the positions were trained for."""
    registers: int = 0
    """Tokens beside the class token (Darcet et al. 2024); where there are any, only patches have positions."""
    layer_scale: float | None = None
    """What the scales of branches start from; None for none."""
    normalized: bool = False
    """Whether each level goes through the last norm, as DINOv2's are read; otherwise it is as its block left it."""
    depth: int = 4
    """How many levels are made, evenly spaced among the blocks."""
    drop_path: float = 0.0
    """The share of images that the last block's branches are left out for while training; earlier ones less."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters are float32."""
    remat: bool = False
    """Whether the backward pass computes each block again instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        registers = ("reg_token",) if self.registers else ()
        embedding = ("patch_embed", "cls_token", *registers, "pos_embed")
        *blocks, last = (f"blocks_{i}" for i in range(self.blocks))
        return (embedding, *((block,) for block in blocks), (last, "norm") if self.normalized else (last,))

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """`depth` levels at stride `patch`, from the first blocks to the last, each with its class token and registers.

        The tokens are (n 1 + registers c), the class token first.
        """
        check_numbers(width=self.width, heads=self.heads, blocks=self.blocks, patch=self.patch, grid=self.grid)
        counts(0, registers=self.registers)
        check(image, self.depth, self.blocks)
        x = _PatchEmbedding(self.width, self.patch, self.dtype, name="patch_embed")(image)
        n, height, width, _ = x.shape
        x, prefix = self._placed(x)
        x = _after(prefix, x)
        taken = {(i + 1) * self.blocks // self.depth - 1 for i in range(self.depth)}
        block = nn.remat(_Block, static_argnums=(2,)) if self.remat else _Block
        norm = layer_norm(dtype=self.dtype, name="norm") if self.normalized else lambda x: x
        levels: list[Level] = []
        (rates,) = drop_path_rates(self.drop_path, (self.blocks,))
        for i, rate in enumerate(rates):
            x = block(self.heads, self.layer_scale, rate, self.dtype, name=f"blocks_{i}")(x, train)
            if i in taken:
                tokens, patches = jnp.split(norm(x), [prefix.shape[1]], axis=1)
                patches = patches.reshape(n, height, width, self.width)
                levels.append(level_at(image, self.patch, patches, tokens=tokens))
        return tuple(levels)

    def _placed(self, x: Array) -> tuple[Array, Array]:
        """The patches with their positions added, and what goes before them."""
        prefix = self.param("cls_token", normal(1e-6), (1, 1, self.width), jnp.float32)
        placed = 0 if self.registers else 1
        shape = (1, placed + self.grid**2, self.width)
        positions = self.param("pos_embed", truncated_normal(0.02), shape, jnp.float32)
        before, grid = jnp.split(positions, [placed], axis=1)
        grid = grid.reshape(1, self.grid, self.grid, -1)
        # Keys' cubic with a = -0.5, which blurs where it shrinks: torch's bicubic with antialias.
        grid = jax.image.resize(grid, (1, *x.shape[1:3], self.width), "cubic")
        if self.registers:
            registers = self.param("reg_token", normal(1e-6), (1, self.registers, self.width), jnp.float32)
            prefix = jnp.concatenate([prefix, registers], axis=1)
        else:
            prefix = prefix + before
        return x + grid.astype(self.dtype), prefix.astype(self.dtype)


@on_any_mesh
def _after(prefix: Array, x: Array) -> Array:
    """Patches (n h w c) as tokens, each image's after the same ones."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height * width, channels)
    return jnp.concatenate([jnp.broadcast_to(prefix, (n, *prefix.shape[1:])), x], axis=1)


class _PatchEmbedding(nn.Module):
    width: int
    patch: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, image: Array) -> Array:
        patches = Conv(self.width, self.patch, "VALID", stride=self.patch, dtype=self.dtype, name="proj")
        return patches(pad_up(image, self.patch))


class _Block(nn.Module):
    heads: int
    layer_scale: float | None
    drop_path: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        branches = (Attention(self.heads, self.dtype, name="attn"), Mlp(4 * x.shape[-1], self.dtype, name="mlp"))
        for i, branch in enumerate(branches, start=1):
            y = branch(layer_norm(dtype=self.dtype, name=f"norm{i}")(x))
            if self.layer_scale is not None:
                y = LayerScale(self.layer_scale, self.dtype, name=f"ls{i}")(y)
            x = x + DropPath(self.drop_path)(y, train=train)
        return x


vit_tiny: partial[VisionTransformer] = partial(VisionTransformer, 192, 3, 12)
vit_small: partial[VisionTransformer] = partial(VisionTransformer, 384, 6, 12)
vit_base: partial[VisionTransformer] = partial(VisionTransformer, 768, 12, 12)
vit_large: partial[VisionTransformer] = partial(VisionTransformer, 1024, 16, 24)

_dinov2 = partial(VisionTransformer, patch=14, grid=37, layer_scale=1e-5, normalized=True)
dinov2_small: partial[VisionTransformer] = partial(_dinov2, 384, 6, 12)
dinov2_base: partial[VisionTransformer] = partial(_dinov2, 768, 12, 12)
dinov2_large: partial[VisionTransformer] = partial(_dinov2, 1024, 16, 24)
dinov2_small_reg4: partial[VisionTransformer] = partial(dinov2_small, registers=4)
dinov2_base_reg4: partial[VisionTransformer] = partial(dinov2_base, registers=4)
dinov2_large_reg4: partial[VisionTransformer] = partial(dinov2_large, registers=4)
