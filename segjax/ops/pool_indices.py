"""Where a max-pool found its maxima: a byte a window, or two bits, with exact conversion to positions in the plane."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jaxtyping import Array, Bool, Integer

from segjax.ops.geometry import Pair, pair, pooled_length
from segjax.ops.pool_geometry import PoolGeometry


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PoolIndices:
    """Where `max_pool_with_argmax` found each maximum: which cell of each window, and how the windows lie.

    A pytree of one array and static geometry: it goes through `jit`, `vmap`, `grad`, `scan`, `device_put`, `tree.map`.

    Examples:
        >>> _, indices = ops.max_pool_with_argmax(jnp.arange(16.0).reshape(1, 4, 4, 1), window=2)
        >>> indices.flat().ravel().tolist()
        [5, 7, 13, 15]
    """

    offsets: Integer[Array, "*n oh ow c"]
    """The cell of the window, counted in row-major order: uint8, or int32 for windows too large for a byte.

    Where `packed`, uint8 of shape (*n, oh, ceil(ow / 4), c): two bits a window, four neighbours of a row in a byte.
    """
    geometry: PoolGeometry = dataclasses.field(metadata={"static": True})
    packed: bool = dataclasses.field(default=False, metadata={"static": True})

    def flat(self) -> Integer[Array, "*n oh ow c"]:
        """Positions `row * w + column` in the input plane, int32: PyTorch's indices (which are n c h w)."""
        geometry = self.geometry
        cells = jnp.divmod(self.unpack().offsets.astype(jnp.int32), geometry.window[1])
        row, column = (
            start + cell * step
            for start, cell, step in zip(_starts(geometry, cells[0].ndim), cells, geometry.dilation, strict=True)
        )
        return row * geometry.input_size[1] + column

    @classmethod
    def from_flat(
        cls,
        flat: Integer[Array, "*n oh ow c"],
        input_size: Pair,
        window: int | Pair | None = 2,
        *,
        strides: int | Pair | None = None,
        padding: str | int | Sequence[int | Pair] = "VALID",
        dilation: int | Pair = 1,
    ) -> PoolIndices:
        """The indices whose `flat()` is `flat`: positions `row * w + column` in a plane of `input_size` (h, w).

        Every position must lie in its own window. `window=None` makes the whole plane the window of all, for positions
        of any origin: so PyTorch's with an `output_size` of another width than the pooled input had.

        Raises:
            ValueError: where `flat` has not as many windows as the geometry, with or without `ceil_mode`, and where a
                position lies outside its window (this outside `jit` alone: within, `max_unpool` writes nothing for it).
        """
        input_size = pair(input_size, "input_size")
        flat = jnp.asarray(flat, jnp.int32)
        if flat.ndim < 3:
            raise ValueError(f"flat must end in the axes h, w, c, got shape {flat.shape}.")
        *_, rows, columns, _ = flat.shape
        windows = rows, columns
        if window is None:
            geometry = PoolGeometry(input_size, windows, input_size, (0, 0), ((0, 0), (0, 0)), (1, 1))
        else:
            geometry = PoolGeometry.of(input_size, window, strides, padding, dilation, ceil_mode=True)
            axes = zip(input_size, geometry.window, geometry.strides, geometry.padding, geometry.dilation, strict=True)
            fewest = tuple(pooled_length(*axis, ceil_mode=False) for axis in axes)
            if any(n not in counts for n, *counts in zip(windows, fewest, geometry.output_size, strict=True)):
                raise ValueError(
                    f"flat of shape {flat.shape} (n h w c) has {windows} windows, but there are {fewest} of "
                    f"{geometry.window} in an input of {input_size}, or {geometry.output_size} with ceil_mode."
                )
            geometry = dataclasses.replace(geometry, output_size=windows)
        offsets, inside = offsets_of(flat, geometry)
        if not isinstance(inside, Tracer) and not inside.all():
            where = tuple(np.argwhere(~np.asarray(inside))[0].tolist())
            raise ValueError(
                f"position {flat[where]} at {where} of flat lies outside its window of {geometry.window} in an input "
                f"of {input_size}: check input_size and the window, or pass window=None for positions of any origin."
            )
        return cls(offsets, geometry)

    def pack(self) -> PoolIndices:
        """The same indices in two bits a window; `max_unpool` takes them, and `unpack` gives back the bytes.

        This is how SegNet (Badrinarayanan et al. 2017) counts its memory: where a float32 map of 180 x 240 x 64 takes
        11.06 MB, its 90 x 120 x 64 windows of 2 x 2 take 0.17 MB, a 64th. Rows of windows are filled up to a multiple
        of four.

        Raises:
            ValueError: where a window has more than four cells.
        """
        if self.packed:
            return self
        if self.geometry.cells > 4:
            raise ValueError(f"two bits hold the cell of a window of at most 4 cells, not of {self.geometry.window}.")
        fill = [(0, 0)] * self.offsets.ndim
        fill[-2] = (0, -self.offsets.shape[-2] % 4)
        offsets = jnp.pad(self.offsets & 3, fill)
        fours = (offsets[..., i::4, :] << 2 * i for i in range(4))
        return dataclasses.replace(self, offsets=functools.reduce(operator.or_, fours), packed=True)

    def unpack(self) -> PoolIndices:
        """The same indices in a byte a window."""
        if not self.packed:
            return self
        *lead, bytes_of_row, c = self.offsets.shape
        shifts = np.arange(0, 8, 2, dtype=np.uint8).reshape(*(1,) * len(lead), 1, 4, 1)
        offsets = (self.offsets[..., None, :] >> shifts & 3).reshape(*lead, bytes_of_row * 4, c)
        return dataclasses.replace(self, offsets=offsets[..., : self.geometry.output_size[1], :], packed=False)


def offset_dtype(geometry: PoolGeometry) -> np.dtype:
    """The type of offsets: a byte where one holds every cell of the window and, above them, `nowhere` and one more."""
    return np.dtype(np.uint8 if geometry.cells < np.iinfo(np.uint8).max else np.int32)


def nowhere(geometry: PoolGeometry) -> np.integer:
    """The offset of a window that points to none of its cells."""
    dtype = offset_dtype(geometry)
    return dtype.type(np.iinfo(dtype).max)


def offsets_of(flat: Array, geometry: PoolGeometry) -> tuple[Integer[Array, "*n oh ow c"], Bool[Array, "*n oh ow c"]]:
    """The offsets of positions in the plane, and whether each position is a cell of its window (`nowhere` if not)."""
    offsets, inside = jnp.int32(0), jnp.bool_(True)
    places = zip(_starts(geometry, flat.ndim), jnp.divmod(flat, geometry.input_size[1]), strict=True)
    for axis, (start, place) in enumerate(places):
        cell, rest = jnp.divmod(place - start, geometry.dilation[axis])
        inside &= (rest == 0) & (cell >= 0) & (cell < geometry.window[axis])
        offsets = offsets * geometry.window[axis] + cell
    return jnp.where(inside, offsets, int(nowhere(geometry))).astype(offset_dtype(geometry)), inside


def _starts(geometry: PoolGeometry, axes: int) -> tuple[Array, Array]:
    """The row and the column where each window starts, of so many axes that end in (oh, ow, c)."""
    rows, columns = (jnp.asarray(geometry.starts(axis), jnp.int32) for axis in (0, 1))
    return lax.broadcast_to_rank(rows[:, None, None], axes), lax.broadcast_to_rank(columns[:, None], axes)
