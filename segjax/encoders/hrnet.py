"""HRNet (Wang et al. 2020), by timm's names."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from segjax import ops
from segjax.encoders.asked import check, check_numbers
from segjax.encoders.dilation import Steps
from segjax.encoders.resnet import ResidualBlock
from segjax.layers import normalized_conv
from segjax.level import Level, Parts, level_at

TORCH_UNUSED = r"incre_modules\.|downsamp_modules\.|final_layer\.|classifier\."
"""Names of timm's files that the encoder has no place for: the classifier's and those of what leads to it."""

_STEM = 64
_STILL = Steps(1, 1, 1, 4)
"""Branches keep their sizes."""


class HRNet(nn.Module):
    """Branches at strides 4, 8, 16 and 32 that run side by side and exchange what they know again and again.

    Coarse branches are repeated and cropped to the size of the finer ones, so that any size works.

    Examples:
        >>> encoders.HRNet(18).width
        18
    """

    width: int
    """Channels of the finest branch; each has twice as many as the one before."""
    modules: tuple[int, int, int] = (1, 4, 3)
    """How often two, three and four branches exchange."""
    blocks: int = 4
    """Blocks of each branch between two exchanges."""
    dtype: DTypeLike = jnp.float32
    """What is computed in; parameters and statistics are float32."""
    remat: bool = False
    """Whether the backward pass computes what lies between two exchanges again instead of keeping its activations."""

    @property
    def parts(self) -> Parts:
        """The names of its parts, as torch has them, in the order that an image passes them."""
        exchanges = ((f"transition{i}", f"stage{i + 1}") for i in range(1, len(self.modules) + 1))
        return (("conv1", "bn1", "conv2", "bn2"), ("layer1",), *exchanges)

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """Levels at strides 2, of the stem, and 4, 8, 16 and 32, of the last exchange."""
        check_numbers(width=self.width, modules=self.modules, blocks=self.blocks)
        check(image)
        exchange = nn.remat(_Exchange, static_argnums=(2,)) if self.remat else _Exchange
        norm = partial(normalized_conv, train=train, dtype=self.dtype)
        stem = nn.relu(norm(image, _STEM, 3, ("conv1", "bn1"), stride=2))
        x = nn.relu(norm(stem, _STEM, 3, ("conv2", "bn2"), stride=2))
        for i in range(self.blocks):
            bottleneck = partial(ResidualBlock, bottleneck=_STEM, dtype=self.dtype, name=f"layer1_{i}")
            x = bottleneck(4 * _STEM, _STILL, first=i == 0)(x, train=train)
        branches = (x,)
        for i, modules in enumerate(self.modules, start=1):
            x = branches[-1]
            name = f"transition{i}_{i}_0"
            coarser = nn.relu(norm(x, self.width * 2**i, 3, (f"{name}_0", f"{name}_1"), stride=2))
            if i == 1:
                branches = (nn.relu(norm(x, self.width, 3, ("transition1_0_0", "transition1_0_1"))),)
            branches = (*branches, coarser)
            for j in range(modules):
                branches = exchange(self.blocks, self.dtype, name=f"stage{i + 1}_{j}")(branches, train)
        levels = (level_at(image, 4 * 2**i, branch) for i, branch in enumerate(branches))
        return (level_at(image, 2, stem), *levels)


class _Exchange(nn.Module):
    """Blocks in each branch, then every branch is the sum of all, brought to its size and width."""

    blocks: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, branches: tuple[Array, ...], train: bool) -> tuple[Array, ...]:
        outs = []
        for i, x in enumerate(branches):
            for j in range(self.blocks):
                x = ResidualBlock(x.shape[-1], _STILL, dtype=self.dtype, name=f"branches_{i}_{j}")(x, train=train)
            outs.append(x)
        sums = (sum(self._brought(x, j, outs[i], i, train) for j, x in enumerate(outs)) for i in range(len(outs)))
        return tuple(nn.relu(each) for each in sums)

    def _brought(self, x: Array, source: int, to: Array, target: int, train: bool) -> Array:
        norm = partial(normalized_conv, train=train, dtype=self.dtype)
        name = f"fuse_layers_{target}_{source}"
        if source > target:
            x = norm(x, to.shape[-1], 1, (f"{name}_0", f"{name}_1"))
            rows, columns = (length * 2 ** (source - target) for length in x.shape[1:3])
            return ops.resize(x, (rows, columns), "nearest")[:, : to.shape[1], : to.shape[2]]
        for k in range(target - source):
            last = k == target - source - 1
            x = norm(x, to.shape[-1] if last else x.shape[-1], 3, (f"{name}_{k}_0", f"{name}_{k}_1"), stride=2)
            x = x if last else nn.relu(x)
        return x


hrnet_w18: partial[HRNet] = partial(HRNet, 18)
hrnet_w32: partial[HRNet] = partial(HRNet, 32)
hrnet_w48: partial[HRNet] = partial(HRNet, 48)
