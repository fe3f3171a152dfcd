"""How the windows of a pooling lie in its input: all of it known while tracing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from segjax.ops.geometry import Padding, Pair, extent, padding_pairs, pair, pooled_length, symbolic


class Span(NamedTuple):
    """Where one cell of every window lies along an axis."""

    at: np.ndarray
    """Its position in the input for each window, also before and after the input; empty where the windows tile it."""
    inside: np.ndarray
    """Whether that is in the input."""
    held: slice
    """The positions that are."""
    outside: Pair
    """Windows before and after those, whose cell is in the padding."""


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class PoolGeometry:
    """Static under `jit`: a pytree without leaves. Every pair is (rows, columns)."""

    input_size: Pair
    output_size: Pair
    window: Pair
    strides: Pair
    padding: Padding
    dilation: Pair

    @classmethod
    def of(
        cls,
        input_size: Pair,
        window: int | Pair,
        strides: int | Pair | None,
        padding: str | int | Sequence[int | Pair],
        dilation: int | Pair,
        ceil_mode: bool,
    ) -> PoolGeometry:
        """The geometry of a pooling's arguments.

        Raises:
            ValueError: PyTorch has none, or a window is all padding.
        """
        window = pair(window, "window")
        strides = window if strides is None else pair(strides, "strides")
        padding = padding_pairs(padding)
        dilation = pair(dilation, "dilation")
        if any(2 * max(around) > length for around, length in zip(padding, window, strict=True)):
            raise ValueError(f"padding must be at most half of the window {window}, got {padding}.")
        axes = zip(input_size, window, strides, padding, dilation, strict=True)
        rows, columns = (pooled_length(*axis, ceil_mode=ceil_mode) for axis in axes)
        geometry = cls(input_size, (rows, columns), window, strides, padding, dilation)
        if geometry.tiles:
            return geometry
        placed = f"a window of {window} with strides {strides}, padding {padding} and dilation {dilation}"
        if rows < 1 or columns < 1:
            raise ValueError(f"{placed} does not fit into an input of {input_size} (h, w).")
        if any((geometry.first_cell(axis) == window[axis]).any() for axis in (0, 1)):
            raise ValueError(f"{placed} steps over the whole input of {input_size} (h, w).")
        return geometry

    @property
    def tiles(self) -> bool:
        """Whether a size is a symbol of `jax.export`, which windows that lie side by side leave nothing of."""
        if not symbolic(*self.input_size):
            return False
        apart = self.window == self.strides and self.padding == ((0, 0), (0, 0)) and self.dilation == (1, 1)
        return apart and all(
            length >= step and length % step == 0 for length, step in zip(self.input_size, self.window, strict=True)
        )

    @property
    def cells(self) -> int:
        """Cells of one window."""
        return self.window[0] * self.window[1]

    @property
    def sharing(self) -> Pair:
        """Windows, above and beside each other, that can hold one cell: (1, 1) where windows do not overlap."""
        rows, columns = (
            -(-extent(length, step) // stride) if stride else windows
            for length, step, stride, windows in zip(
                self.window, self.dilation, self.strides, self.output_size, strict=True
            )
        )
        return rows, columns

    @property
    def edges(self) -> Padding:
        """The padding, and at the end as much more as `ceil_mode` needs for its last windows."""
        if self.tiles:
            return self.padding
        rows, columns = (
            (low, max(high, int(self.starts(axis)[-1]) + extent(self.window[axis], self.dilation[axis]) - length))
            for axis, ((low, high), length) in enumerate(zip(self.padding, self.input_size, strict=True))
        )
        return rows, columns

    def starts(self, axis: int) -> np.ndarray:
        """Where each window starts along an axis; negative in the padding."""
        return np.arange(self.output_size[axis]) * self.strides[axis] - self.padding[axis][0]

    def first_cell(self, axis: int) -> np.ndarray:
        """The first cell of each window that lies in the input, along an axis; the window's length where none does."""
        if self.tiles:
            return np.zeros(1, int)
        start, step = self.starts(axis), self.dilation[axis]
        cell = -(np.minimum(start, 0) // step)
        return np.where(start + cell * step < self.input_size[axis], cell, self.window[axis])

    def span(self, axis: int, cell: int) -> Span:
        """Where one cell of every window lies along an axis."""
        if self.tiles:
            stop = (self.output_size[axis] - 1) * self.strides[axis] + cell + 1
            return Span(np.empty(0, int), np.empty(0, bool), slice(cell, stop, self.strides[axis]), (0, 0))
        at = self.starts(axis) + cell * self.dilation[axis]
        before, after = int((at < 0).sum()), int((at >= self.input_size[axis]).sum())
        inside = (at >= 0) & (at < self.input_size[axis])
        held = (
            slice(int(at[before]), int(at[len(at) - after - 1]) + 1, self.strides[axis]) if inside.any() else slice(0)
        )
        return Span(at, inside, held, (before, after))
