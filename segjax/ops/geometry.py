"""Static geometry that the ops share: pairs, paddings and output sizes, plain Python integers or symbols."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple, SupportsInt

from jax.export import is_symbolic_dim

Pair = tuple[int, int]
"""Height and width."""
Padding = tuple[Pair, Pair]
"""Cells added before and after the rows, and before and after the columns."""


class ConvGeometry(NamedTuple):
    """The geometry of a convolution."""

    size: Pair
    """Rows and columns of its input."""
    taps: Pair
    pads: Padding
    strides: Pair
    dilations: Pair
    groups: int


def symbolic(*lengths: Any) -> bool:
    """Whether `jax.export` has one of these sizes as a symbol, so that it is known when the program runs."""
    return any(map(is_symbolic_dim, lengths))


def pair(value: SupportsInt | Sequence[SupportsInt], name: str, minimum: int | None = 1) -> Pair:
    """Height and width from an int or a pair; `name` is the argument that a ValueError speaks of.

    Raises:
        ValueError: it is neither, or below the `minimum`.
    """
    values = (value, value) if isinstance(value, Integral) else value
    if not (isinstance(values, Sequence) and len(values) == 2 and all(_fits(one, minimum) for one in values)):
        least = "" if minimum is None else f", each at least {minimum}"
        raise ValueError(f"{name} must be an int or a pair of ints{least}, got {value!r}.")
    return int(values[0]), int(values[1])


def _fits(value: Any, minimum: int | None) -> bool:
    return isinstance(value, Integral) and (minimum is None or int(value) >= minimum)


def padding_pairs(
    padding: str | int | Sequence[int | Pair], minimum: int | None = 0, names: str = '"VALID"'
) -> Padding:
    """((top, bottom), (left, right)) from "VALID", an int, a pair (rows, columns) of ints or a pair of pairs.

    `names` are what the sentence says that an op takes besides.

    Raises:
        ValueError: it is none of these.
    """
    if padding == "VALID":
        return (0, 0), (0, 0)
    if isinstance(padding, Sequence) and (isinstance(padding, str) or len(padding) != 2):
        raise ValueError(f"padding must be {names}, an int or ((top, bottom), (left, right)), got {padding!r}.")
    rows, columns = padding if isinstance(padding, Sequence) else (padding, padding)
    return pair(rows, "padding", minimum), pair(columns, "padding", minimum)


def extent(window: int, dilation: int) -> int:
    """Cells from the first to the last of a dilated window, both counted."""
    return (window - 1) * dilation + 1


def pooled_length(length: int, window: int, stride: int, padding: Pair, dilation: int, ceil_mode: bool) -> int:
    """Windows along one axis, as PyTorch counts them; less than one where not even one fits.

    With `ceil_mode` a last window may run over the end, as long as it starts inside the input or the padding before it.
    """
    rest = length + sum(padding) - extent(window, dilation)
    if not ceil_mode:
        return rest // stride + 1
    windows = -(-rest // stride) + 1
    return windows - ((windows - 1) * stride >= length + padding[0])
