"""What an encoder hands to a decoder: one `Level` a resolution, which knows its stride and size."""

from collections.abc import Sequence
from typing import Protocol

import jax
from flax import struct
from jaxtyping import Array, Float

from segjax.errors import counts
from segjax.ops import PoolIndices
from segjax.ops.geometry import Pair


class Level(struct.PyTreeNode):
    """One resolution: what an encoder leaves there or, without features, only the place to climb to.

    An encoder returns `tuple[Level, ...]`, finest first, and only levels that it has. `size` is ceil(image / stride)
    for every encoder and every image. Size and stride are static under `jit`.

    Examples:
        >>> level.level_at(jnp.zeros((1, 33, 47, 3)), 2, jnp.zeros((1, 17, 24, 8))).size
        (17, 24)
    """

    features: Float[Array, "n h w c"] | None
    """What was computed there, before a pooling that made the next level."""
    size: Pair = struct.field(pytree_node=False)
    """Rows and columns."""
    stride: int = struct.field(pytree_node=False)
    """Pixels of the image in a cell, along each axis: said by whoever makes the level, never read from shapes."""
    indices: PoolIndices | None = None
    """Where the pooling below found its maxima; None where the encoder strides instead, and at the deepest level."""
    tokens: Float[Array, "n t c"] | None = None
    """Class and register tokens of a plain ViT."""

    @property
    def width(self) -> int:
        """Channels of the features; 0 where there are none."""
        return 0 if self.features is None else self.features.shape[-1]

    def holding(self, features: Float[Array, "n h w c"] | None) -> "Level":
        """This place with features that a decoder made, and neither indices nor tokens, which are the encoder's.

        Examples:
            >>> image, features = jnp.zeros((1, 32, 32, 3)), jnp.zeros((1, 4, 4, 20))
            >>> made = level.level_at(image, 8, features, tokens=features[:, 0]).holding(features[..., :6])
            >>> made.width, made.stride, made.tokens
            (6, 8, None)
        """
        return Level(features, self.size, self.stride)


Parts = tuple[tuple[str, ...], ...]
"""The names of an encoder's parts, stage by stage in the order that an image passes them. What lies at layer1, at
layer1_0 or below these belongs to layer1."""


class Encoder(Protocol):
    """A Linen module whose fields are its whole configuration.

    One whose stages can be frozen by name and trained with rates of their own has a property `parts: Parts`.
    """

    def __call__(self, image: Float[Array, "n h w c"], *, train: bool) -> tuple[Level, ...]:
        """One level a resolution, finest first: ResNet's are at strides 2 to 32, VGG's at 1 to 32, ViT's all at 16."""
        ...


class Decoder(Protocol):
    """A Linen module with the fields `upsample`, called as `segjax.upsampling.Upsampling` is, and `block`.

    One that is known by name has `finest_stride`, too: where it ends.
    """

    def __call__(self, levels: tuple[Level, ...], *, train: bool) -> tuple[Level, ...]:
        """What heads read, finest first, from `from_image(levels, image)`; without the encoder's indices and tokens.

        Raises:
            ValueError: levels that `check_levels` refuses.
        """
        ...


def level_at(image: jax.Array, stride: int, features: Array | None = None, **rest: Array | PoolIndices) -> Level:
    """The level of an image (n h w c) at a stride; `features` and the rest are the level's own.

    Raises:
        ValueError: features of another size than ceil(image / stride).
    """
    rows, columns = (-(-length // stride) for length in image.shape[1:3])
    if features is not None and features.shape[1:3] != (rows, columns):
        raise ValueError(
            f"A level of stride {stride} in an image of {image.shape[1]}x{image.shape[2]} has {rows}x{columns} cells, "
            f"but got features of shape {features.shape}: pad the image up before an encoder that rounds down."
        )
    return Level(features, (rows, columns), stride, **rest)  # type: ignore[arg-type]


def check_levels(levels: Sequence[Level]) -> None:
    """Refuse what no encoder returns.

    Raises:
        ValueError: no levels, what is no `Level`, an order other than finest first, or a deepest one without features.
    """
    if not levels or not all(isinstance(level, Level) for level in levels):
        got = ", ".join(type(each).__name__ for each in levels) or "none"
        raise ValueError(f"An encoder's levels are `Level`s, but got {got}: make each by level_at(image, stride, x).")
    strides = [level.stride for level in levels]
    if strides != sorted(strides):
        raise ValueError(f"An encoder's levels come finest first, but got strides {strides}: give them in that order.")
    if levels[-1].features is None:
        raise ValueError(f"The deepest level, of stride {strides[-1]}, has no features to begin with: give it some.")


def from_image(levels: Sequence[Level], image: jax.Array, places: tuple[int, ...] = (1,)) -> tuple[Level, ...]:
    """The levels that a decoder takes: before them, without features, the places that are finer than all of them.

    Raises:
        ValueError: levels that `check_levels` refuses.
    """
    check_levels(levels)
    finer = tuple(level_at(image, stride) for stride in sorted(places) if stride < levels[0].stride)
    return (*finer, *levels)


def at_least(levels: tuple[Level, ...], stride: int) -> tuple[Level, ...]:
    """The levels that have features, from this stride on.

    Raises:
        ValueError: there are none.
    """
    counts(1, finest_stride=stride)
    kept = tuple(level for level in levels if level.features is not None and level.stride >= stride)
    if not kept:
        strides = [level.stride for level in levels if level.features is not None]
        raise ValueError(f"The encoder's levels have strides {strides}, and none is {stride} or more: take another.")
    return kept
