"""How the windows of a pooling lie in its input, known while tracing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from segjax.ops.geometry import Padding, Pair, extent, padding_pairs, pair, pooled_length


@dataclasses.dataclass(frozen=True)
class PoolGeometry:
    """Static and hashable; every pair is (rows, columns)."""

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
        padding: str | int | Sequence,
        dilation: int | Pair,
        ceil_mode: bool,
    ) -> PoolGeometry:
        """The geometry of a pooling's arguments; ValueError, with the shapes, where PyTorch has none or a window is empty."""
        window = pair(window, "window")
        strides = window if strides is None else pair(strides, "strides")
        padding = padding_pairs(padding)
        dilation = pair(dilation, "dilation")
        if any(2 * max(around) > length for around, length in zip(padding, window, strict=True)):
            raise ValueError(f"padding {padding} is more than half of the window {window}.")
        axes = zip(input_size, window, strides, padding, dilation, strict=True)
        rows, columns = (pooled_length(*axis, ceil_mode=ceil_mode) for axis in axes)
        geometry = cls(input_size, (rows, columns), window, strides, padding, dilation)
        if rows < 1 or columns < 1:
            raise ValueError(f"no window of {window} {geometry._placed()} fits into an input of {input_size}.")
        if any((geometry.first_cell(axis) >= window[axis]).any() for axis in (0, 1)):
            raise ValueError(
                f"a window of {window} {geometry._placed()} misses every cell of an input of {input_size}."
            )
        return geometry

    @property
    def cells(self) -> int:
        """Cells of one window."""
        return self.window[0] * self.window[1]

    @property
    def extents(self) -> Pair:
        """Rows and columns from the first to the last cell of a window, both counted."""
        return extent(self.window[0], self.dilation[0]), extent(self.window[1], self.dilation[1])

    def starts(self, axis: int) -> np.ndarray:
        """Where each window starts along an axis of the input; negative in the padding."""
        return np.arange(self.output_size[axis]) * self.strides[axis] - self.padding[axis][0]

    def first_cell(self, axis: int) -> np.ndarray:
        """The first cell of each window that lies in the input, along an axis; the window's length where none does."""
        start, step = self.starts(axis), self.dilation[axis]
        cell = -(np.minimum(start, 0) // step)
        return np.where(start + cell * step < self.input_size[axis], cell, self.window[axis])

    def _placed(self) -> str:
        return f"with strides {self.strides}, padding {self.padding} and dilation {self.dilation}"
