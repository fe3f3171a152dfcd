"""MA-Net: attention between all positions at the deepest level, and gates over channels on the way up."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import lecun_normal
from jaxtyping import Array, Float

from segjax.decoders.climb import check_widths, climbed_to, own_width
from segjax.errors import counts
from segjax.layers import ChannelGate, Conv, ConvBlock
from segjax.level import Level, check_levels
from segjax.ops.precision import at_least_float32
from segjax.upsampling import Nearest

_GATE = ("squeeze", "excite")


class PositionAttention(nn.Module):
    """Every position sees all others, weighed by how alike they are (Fan et al. 2020).

    Memory grows with the square of the number of positions. With `joint` the weights of all pairs sum to one, not those
    of each position, and the result is laid out as if its channels were its positions: a slip of
    segmentation_models.pytorch that weights trained with it depend on.

    Examples:
        >>> module = decoders.PositionAttention(width=2)
        >>> run = lambda x: module.init_with_output(jax.random.key(0), x)[0]
        >>> jax.eval_shape(run, jnp.zeros((1, 8, 8, 4))).shape
        (1, 8, 8, 4)
    """

    width: int = 64
    joint: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Features of the same shape."""
        n, h, w, c = x.shape

        def conv(width: int, window: int, name: str) -> Conv:
            return Conv(width, window, kernel_init=lecun_normal(), dtype=x.dtype, name=name)

        keys, queries = (conv(self.width, 1, name)(x).reshape(n, h * w, self.width) for name in ("top", "center"))
        values = conv(c, 3, "bottom")(x).reshape(n, h * w, c)
        alike = jnp.einsum("nqc,nkc->nqk", queries, keys, preferred_element_type=at_least_float32(x.dtype))
        if self.joint:
            weights = jax.nn.softmax(alike.reshape(n, -1)).reshape(alike.shape).astype(x.dtype)
            seen = jnp.einsum("nqk,nkc->nqc", weights, values).reshape(n, c, h, w).transpose(0, 2, 3, 1)
        else:
            weights = jax.nn.softmax(alike).astype(x.dtype)
            seen = jnp.einsum("nqk,nkc->nqc", weights, values).reshape(x.shape)
        return conv(c, 3, "out")(x + seen)


class MANetDecoder(nn.Module):
    """U-Net's climb with position attention at its start, and what climbs gated by its own channels and by those of
    the level that it meets (Fan et al. 2020).

    Raises:
        ValueError: widths that are not one for each level that is climbed to, when called.

    Examples:
        >>> encoder = encoders.ConvEncoder(((4,), (8,), (8,)))
        >>> model = models.Segmenter(3, encoder, decoders.MANetDecoder(reduction=2))
        >>> image = jnp.zeros((1, 16, 24, 3))
        >>> run = lambda x: model.init_with_output(jax.random.key(0), x, train=False)[0]
        >>> jax.eval_shape(run, image).shape
        (1, 16, 24, 3)
    """

    widths: tuple[int, ...] | None = None
    """Channels at each level that is climbed to, finest first; None for the level's own, or for half the width of the
    level below, up to 256, where that is more."""
    reduction: int = 16
    attention: Callable[..., nn.Module] = PositionAttention
    """What is made of the deepest features, called as `attention(name=...)(x)`."""
    upsample: Callable[..., nn.Module] = Nearest
    block: Callable[..., nn.Module] = ConvBlock
    finest_stride: int = 1
    """Where the climb ends: levels of a smaller stride are left out."""

    @nn.compact
    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """The levels that were climbed to, finest first; the deepest one alone where there is none to climb to."""
        check_levels(levels)
        counts(1, reduction=self.reduction)
        goals, x = climbed_to(levels, self.finest_stride), levels[-1]
        check_widths("MA-Net", self.widths, goals)
        x = x.holding(self.attention(name="attention")(x.features))
        passed: list[Level] = []
        for i, to in reversed([*enumerate(goals, start=1)]):
            width = self.widths[i - 1] if self.widths is not None else own_width(to, x)
            up = self.upsample(features=None, factor=x.stride // to.stride, name=f"up{i}")
            y = x.features
            if to.features is None:
                y = up(y, to)
            else:
                y = self.block((x.width,), name=f"before{i}")(y, train=train)
                y = up(self.block((to.width,), window=1, name=f"narrow{i}")(y, train=train), to)
                gate = partial(ChannelGate, max(1, to.width // self.reduction), names=_GATE, dtype=y.dtype)
                gate, own = (gate(name=f"{name}{i}") for name in ("gate_up", "gate_skip"))
                y = jnp.concatenate([y * (gate(y) + own(to.features)), to.features], axis=-1)
            x = to.holding(self.block((width, width), name=f"stage{i}")(y, train=train))
            passed.insert(0, x)
        return tuple(passed) or (x,)
