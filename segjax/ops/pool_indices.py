"""Where a max-pool found its maxima: one byte a window, or two bits, with exact conversion to positions in the plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer

from segjax.ops.geometry import Pair, pair, pooled_length
from segjax.ops.pool_geometry import PoolGeometry


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PoolIndices:
    """Where `max_pool_with_argmax` found each maximum: which cell of each window, and how the windows lie.

    A pytree of one array and static geometry: it passes through `jit`, `vmap`, `grad`, `scan`, `device_put` and `tree.map`.
    """

    offsets: Integer[Array, "*n oh ow c"]
    """The cell of the window, counted in row-major order: uint8, or int32 where a byte is too small for the window.

    Where `packed`, uint8 of shape (*n, oh, ceil(ow / 4), c): two bits a window, four neighbours of a row in a byte.
    """
    geometry: PoolGeometry = dataclasses.field(metadata={"static": True})
    packed: bool = dataclasses.field(default=False, metadata={"static": True})

    def flat(self) -> Integer[Array, "*n oh ow c"]:
        """Positions `row * w + column` in the input plane, int32: what PyTorch calls the indices."""
        geometry = self.geometry
        cell = self.unpack().offsets.astype(jnp.int32)
        starts, dilation = _starts(geometry), geometry.dilation
        row = starts[0] + cell // geometry.window[1] * dilation[0]
        column = starts[1] + cell % geometry.window[1] * dilation[1]
        return row * geometry.input_size[1] + column

    @classmethod
    def from_flat(
        cls,
        flat: Integer[Array, "*n oh ow c"],
        input_size: Pair,
        window: int | Pair | None = 2,
        strides: int | Pair | None = None,
        padding: str | int | Sequence = "VALID",
        dilation: int | Pair = 1,
    ) -> PoolIndices:
        """The indices whose `flat()` is `flat`: positions `row * w + column` in a plane of `input_size` (h, w).

        Every position must lie in its own window. `window=None` stands for windows that are the whole plane, so for any
        positions: such as PyTorch's after an `output_size` of another width than the pooled input had.

        Raises ValueError where `flat` has not as many windows as the geometry, with or without `ceil_mode`, and where a
        position lies outside its window (that one only outside `jit`; inside, `max_unpool` writes nothing for it).
        """
        input_size = pair(input_size, "input_size")
        flat = jnp.asarray(flat, jnp.int32)
        if flat.ndim < 3:
            raise ValueError(f"flat must end in the axes h, w, c, got shape {flat.shape}.")
        windows = flat.shape[-3:-1]
        if window is None:
            geometry = PoolGeometry(input_size, windows, input_size, (0, 0), ((0, 0), (0, 0)), (1, 1))
        else:
            geometry = PoolGeometry.of(input_size, window, strides, padding, dilation, ceil_mode=True)
            axes = zip(input_size, geometry.window, geometry.strides, geometry.padding, geometry.dilation, strict=True)
            fewest = tuple(pooled_length(*axis, ceil_mode=False) for axis in axes)
            if any(n not in counts for n, *counts in zip(windows, fewest, geometry.output_size, strict=True)):
                raise ValueError(
                    f"flat of shape {flat.shape} (n h w c) has {windows} windows, but {geometry.window} ones over an input "
                    f"of {input_size} are {fewest}, or {geometry.output_size} with ceil_mode."
                )
            geometry = dataclasses.replace(geometry, output_size=windows)
        cells, inside = [], jnp.bool_(True)
        for axis, (start, along) in enumerate(zip(_starts(geometry), jnp.divmod(flat, input_size[1]), strict=True)):
            cell, rest = jnp.divmod(along - start, geometry.dilation[axis])
            inside &= (cell >= 0) & (cell < geometry.window[axis]) & (rest == 0)
            cells.append(cell)
        if not isinstance(inside, jax.core.Tracer) and not inside.all():
            stray = tuple(int(i) for i in np.argwhere(~np.asarray(inside))[0])
            raise ValueError(
                f"flat[{', '.join(map(str, stray))}] = {flat[stray]} lies outside its window of {geometry.window} in an input "
                f"of {input_size}: check input_size and the window, or pass window=None for positions of no window."
            )
        dtype = offset_dtype(geometry)
        offsets = jnp.where(inside, cells[0] * geometry.window[1] + cells[1], nowhere(dtype))
        return cls(offsets.astype(dtype), geometry)

    def pack(self) -> PoolIndices:
        """The same indices in two bits a window: `max_unpool` takes them, `unpack` gives back the bytes.

        This is the storage of SegNet (Badrinarayanan et al. 2017): beside a float32 map of 180 x 240 x 64, 11.06 MB, the
        2 x 2 windows take 90 x 120 x 64 / 4 bytes, 0.17 MB, a 64th. Rows of a width that is not a multiple of four are
        filled up. Raises ValueError where a window has more than four cells.
        """
        if self.packed:
            return self
        if self.geometry.cells > 4:
            raise ValueError(f"two bits hold windows of at most 4 cells, these are {self.geometry.window}.")
        *lead, ow, c = self.offsets.shape
        fill = [(0, 0)] * len(lead) + [(0, -ow % 4), (0, 0)]
        fours = jnp.pad(self.offsets, fill).reshape(*lead, -1, 4, c) & 3
        shifts = jnp.arange(0, 8, 2, dtype=jnp.uint8)[:, None]
        offsets = (fours << shifts).sum(axis=-2, dtype=jnp.uint8)
        return PoolIndices(offsets, self.geometry, packed=True)

    def unpack(self) -> PoolIndices:
        """The same indices in one byte a window."""
        if not self.packed:
            return self
        *lead, ow, c = self.offsets.shape
        shifts = jnp.arange(0, 8, 2, dtype=jnp.uint8)[:, None]
        offsets = (self.offsets[..., None, :] >> shifts & 3).reshape(*lead, ow * 4, c)
        return PoolIndices(offsets[..., : self.geometry.output_size[1], :], self.geometry)


def offset_dtype(geometry: PoolGeometry) -> np.dtype:
    """The type of a window's offsets: a byte where it can hold every cell and, above them, `nowhere` and one more."""
    return np.dtype(np.uint8 if geometry.cells < np.iinfo(np.uint8).max else np.int32)


def nowhere(dtype: np.dtype) -> int:
    """The offset of a window that points to none of its cells."""
    return int(np.iinfo(dtype).max)


def _starts(geometry: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The row and the column where each window starts, to be broadcast over (oh, ow, c)."""
    return (
        geometry.starts(0).astype(np.int32)[:, None, None],
        geometry.starts(1).astype(np.int32)[:, None],
    )
