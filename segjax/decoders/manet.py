"""MA-Net: attention between all positions at the deepest level, and gates over channels on the way up."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.layers import ConvBlock
from segjax.level import Level
from segjax.upsampling import Nearest


class PositionAttention(nn.Module):
    """Every position sees all others, weighed by how alike they are (Fan et al. 2020).

    Memory grows with the square of the number of positions. With `joint` the weights of all pairs sum to one, not those
    of each position, and the result is laid out as if its channels were its positions: a slip of
    segmentation_models.pytorch that weights trained with it depend on.
    """

    width: int = 64
    joint: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Features of the same shape."""
        n, h, w, c = x.shape

        def conv(width: int, window: int, name: str) -> nn.Conv:
            return nn.Conv(width, (window, window), dtype=x.dtype, name=name)

        keys, queries = (conv(self.width, 1, name)(x).reshape(n, h * w, self.width) for name in ("top", "center"))
        values = conv(c, 3, "bottom")(x).reshape(n, h * w, c)
        alike = jnp.einsum("nqc,nkc->nqk", queries, keys).astype(jnp.float32)
        if self.joint:
            weights = jax.nn.softmax(alike.reshape(n, -1)).reshape(alike.shape).astype(x.dtype)
            seen = jnp.einsum("nqk,nkc->nqc", weights, values).reshape(n, c, h, w).transpose(0, 2, 3, 1)
        else:
            weights = jax.nn.softmax(alike).astype(x.dtype)
            seen = jnp.einsum("nqk,nkc->nqc", weights, values).reshape(x.shape)
        return conv(c, 3, "out")(x + seen)


class ChannelGate(nn.Module):
    """A weight of 0 to 1 for every channel, from the means of all (Hu et al. 2018)."""

    reduction: int = 16

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n 1 1 c"]:
        """The weights."""
        width = x.shape[-1]
        y = nn.Conv(max(1, width // self.reduction), (1, 1), dtype=x.dtype, name="squeeze")(
            x.mean((1, 2), keepdims=True)
        )
        return nn.sigmoid(nn.Conv(width, (1, 1), dtype=x.dtype, name="excite")(nn.relu(y)))


class MANetDecoder(nn.Module):
    """U-Net's climb with position attention at its start, and what climbs gated by its own channels and by those of
    the level that it meets (Fan et al. 2020).

    Raises:
        ValueError: widths that are not one for each level that is climbed to, when called.
    """

    widths: tuple[int, ...] | None = None
    """Channels at each level that is climbed to, finest first; None for the level's own, or for half the width of the
    level below where it has no features."""
    reduction: int = 16
    attention: Callable[..., nn.Module] = PositionAttention
    """What is made of the deepest features, called as `attention(name=...)(x)`."""
    upsample: Callable[..., nn.Module] = Nearest
    block: Callable[..., nn.Module] = ConvBlock

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The levels that were climbed to, finest first; the deepest one alone where there is none to climb to."""
        *goals, x = levels
        if self.widths is not None and len(self.widths) != len(goals):
            raise ValueError(
                f"MA-Net of {len(self.widths)} widths climbs {len(self.widths) + 1} levels, but the encoder gave "
                f"{len(levels)}, the image's own place among them: give one width per level but the deepest."
            )
        x = x.replace(features=self.attention(name="attention")(x.features), indices=None, tokens=None)
        passed: list[Level] = []
        for i, to in reversed([*enumerate(goals, start=1)]):
            width = self.widths[i - 1] if self.widths is not None else to.width or -(-x.width // 2)
            up = self.upsample(features=None, factor=x.stride // to.stride, name=f"up{i}")
            y = x.features
            if to.features is None:
                y = up(y, to)
            else:
                y = self.block((x.width,), name=f"before{i}")(y, train=train)
                y = up(self.block((to.width,), window=1, name=f"narrow{i}")(y, train=train), to)
                gate, own = (ChannelGate(self.reduction, name=f"{name}{i}") for name in ("gate_up", "gate_skip"))
                y = jnp.concatenate([y * (gate(y) + own(to.features)), to.features], axis=-1)
            x = to.replace(
                features=self.block((width, width), name=f"stage{i}")(y, train=train), indices=None, tokens=None
            )
            passed.insert(0, x)
        return tuple(passed) or (x,)
