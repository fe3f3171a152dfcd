"""Average pooling, over windows or to a given size."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import Pair
from segjax.ops.meshes import on_any_mesh
from segjax.ops.pool_geometry import PoolGeometry
from segjax.ops.pool_windows import FEW_CELLS, window_cells
from segjax.ops.precision import widen
from segjax.ops.resize import resize


@on_any_mesh
def avg_pool(
    x: Float[Array, "n h w c"],
    window: int | Pair = 2,
    *,
    strides: int | Pair | None = None,
    padding: str | int | Sequence[int | Pair] = "VALID",
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Float[Array, "n oh ow c"]:
    """The mean of each window, as `torch.nn.functional.avg_pool2d`; float16 and bfloat16 are summed in float32.

    Args:
        x: any floating dtype.
        window: rows and columns of a window; `strides` is the same where it is None.
        padding: "VALID" (none), an int, a pair, or ((top, bottom), (left, right)) of zeros: at most half of the window.
        ceil_mode: also pool what is left at the bottom and right where a whole window does not fit. What such a window
            has beyond the padding never counts.
        count_include_pad: whether the zeros of the padding count in the mean.

    Raises:
        ValueError: where `x` has not four axes or is not floating, the padding is too large, or no window fits.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.avg_pool(x, 2).ravel().tolist()
        [1.5]
    """
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"avg_pool takes floating (n, h, w, c), got {x.dtype} of shape {x.shape}.")
    _, h, w, _ = x.shape
    geometry = PoolGeometry.of((h, w), window, strides, padding, 1, ceil_mode)
    wide = widen(x)
    rows, columns = (_counts(geometry, axis, count_include_pad) for axis in (0, 1))
    counts = np.multiply.outer(rows, columns)[None, ..., None]
    return (_sums(wide, geometry) / jnp.asarray(counts, wide.dtype)).astype(x.dtype)


@on_any_mesh
def adaptive_avg_pool(x: Float[Array, "n h w c"], size: int | Pair) -> Float[Array, "n height width c"]:
    """The mean of the cells that each of `size` outputs touches, as `torch.nn.functional.adaptive_avg_pool2d`.

    Output i of an axis averages the cells from floor(i * n / m) to ceil((i + 1) * n / m) of n: `resize` by "area".

    Raises:
        ValueError: where `x` is not floating (n h w c) with a pixel, or `size` is below 1.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.adaptive_avg_pool(x, 1).ravel().tolist()
        [1.5]
    """
    return resize(x, size, method="area")


@functools.partial(jax.jit, static_argnames=("geometry",), inline=True)
def _sums(x: Array, geometry: PoolGeometry) -> Array:
    """The sum of each window: XLA:CPU makes one loop of a few slices, and one of their gradient, unlike of others."""
    if geometry.cells <= FEW_CELLS:
        return functools.reduce(operator.add, window_cells(x, geometry, 0))
    (kh, kw), (sh, sw), (rows, columns), none = geometry.window, geometry.strides, geometry.edges, (0, 0)
    zero = np.zeros((), x.dtype)[()]
    x = lax.reduce_window(x, zero, lax.add, (1, kh, 1, 1), (1, sh, 1, 1), (none, rows, none, none))
    return lax.reduce_window(x, zero, lax.add, (1, 1, kw, 1), (1, 1, sw, 1), (none, none, columns, none))


def _counts(geometry: PoolGeometry, axis: int, count_include_pad: bool) -> np.ndarray:
    """How many cells each window along one axis has in its mean."""
    low, high = geometry.padding[axis] if count_include_pad else (0, 0)
    start = geometry.starts(axis)
    end = np.minimum(start + geometry.window[axis], geometry.input_size[axis] + high)
    return end - np.maximum(start, -low)
