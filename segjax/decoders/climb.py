"""What climbs share: their widths, and the climb of decoders that read one level, with nothing but an upsampler."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.errors import counts
from segjax.layers import ConvBlock
from segjax.level import Level
from segjax.ops.geometry import symbolic
from segjax.upsampling import Nearest

WIDEST_UNASKED = 256
"""Channels that a decoder gives a level whose own are fewer, at most: what U-Net's deepest has in the field."""
LEAST_UNASKED = 32
"""Channels that are not halved further at a level without features: it is where the classes are told apart."""


def climb(
    x: Level, levels: tuple[Level, ...], finest_stride: int, upsample: Callable[..., nn.Module]
) -> tuple[Level, ...]:
    """`x` and what the upsampler makes of it at each finer level, finest first; called inside a compact module."""
    counts(1, finest_stride=finest_stride)
    passed = [x]
    goals = {to.stride: (i, to) for i, to in enumerate(levels, start=1) if finest_stride <= to.stride < x.stride}
    for i, to in sorted(goals.values(), key=lambda goal: -goal[1].stride):
        grown = upsample(features=x.width, factor=x.stride // to.stride, name=f"up{i}")(x.features, to)
        x = to.holding(grown)
        passed.insert(0, x)
    return tuple(passed)


def climbed_to(levels: tuple[Level, ...], finest_stride: int) -> tuple[Level, ...]:
    """The levels above the deepest where a climb halts, those of a smaller stride left out, finest first."""
    counts(1, finest_stride=finest_stride)
    return tuple(level for level in levels[:-1] if level.stride >= finest_stride)


def check_widths(decoder: str, widths: tuple[int, ...] | None, goals: tuple[Level, ...]) -> None:
    """Whether there is one for each level that is climbed to.

    Raises:
        ValueError: there is not.
    """
    if widths is not None and len(widths) != len(goals):
        raise ValueError(
            f"{decoder} of {len(widths)} widths climbs {len(widths) + 1} levels, but the encoder gave "
            f"{len(goals) + 1}, the image's own place among them: give one width per level but the deepest."
        )


def own_width(to: Level, below: Level) -> int:
    """The width of a level where none is given: its own, or half of what comes, up to 256, where that is more.

    Encoders of inverted residuals have levels of 16 and 24 channels, from which decoders of such widths learn slowly.
    """
    half = min(-(-below.width // 2), WIDEST_UNASKED)
    return max(to.width, half) if to.width else max(half, min(below.width, LEAST_UNASKED))


def attended(
    x: Float[Array, "n h w c"], attention: Callable[..., nn.Module] | None, name: str
) -> Float[Array, "n h w c"]:
    """What attention, if there is any, makes of features; called inside a compact module."""
    return x if attention is None else attention(dtype=x.dtype, name=name)(x)


def in_one_step(up: nn.Module, block: nn.Module, x: Level, to: Level) -> bool:
    """Whether upsampling `x` and the block's first convolution are one step, which gives the same and is faster.

    That is so on a CPU, of nearest-neighbour upsampling by 2 to a size that is even, before a plain 3x3 convolution.
    """
    if type(up) is not Nearest or type(block) is not ConvBlock or x.features is None:
        return False
    rows, columns = x.features.shape[1:3]
    repeats = up.factor == 2 and up.features in (None, x.width) and up.dtype is None
    plain = block.window == 3 and block.padding in ("SAME", 1) and block.dilation == 1 and len(block.widths) > 0
    exact = jnp.finfo(block.dtype).bits >= 32 and jax.default_backend() == "cpu"
    known = not symbolic(rows, columns, *to.size)
    return repeats and plain and exact and known and tuple(to.size) == (2 * rows, 2 * columns)
