"""Average pooling, over windows or to a given size."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import Pair, padding_pairs, pair, pooled_length
from segjax.ops.resize import resize


def avg_pool(
    x: Float[Array, "n h w c"],
    window: int | Pair = 2,
    strides: int | Pair | None = None,
    padding: str | int | Sequence = "VALID",
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
    """
    if x.ndim != 4 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"avg_pool takes floating (n, h, w, c), got {x.dtype} of shape {x.shape}.")
    window = pair(window, "window")
    strides = window if strides is None else pair(strides, "strides")
    pads = padding_pairs(padding)
    sizes = x.shape[1:3]
    axes = list(zip(sizes, window, strides, pads, strict=True))
    if any(2 * max(pad) > length for _, length, _, pad in axes):
        raise ValueError(f"avg_pool pads by at most half of the window {window}, got padding {pads}.")
    lengths = [pooled_length(size, length, stride, pad, 1, ceil_mode) for size, length, stride, pad in axes]
    if min(lengths) < 1:
        raise ValueError(f"No window of {window} fits into {sizes} padded by {pads}.")

    # The last window may end beyond the padding in ceil mode, and the input beyond the last window otherwise.
    ends = [
        (pad[0], (count - 1) * stride + length - size - pad[0])
        for (size, length, stride, pad), count in zip(axes, lengths, strict=True)
    ]
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    sums = lax.reduce_window(
        wide, np.zeros((), wide.dtype), lax.add, (1, *window, 1), (1, *strides, 1), ((0, 0), *ends, (0, 0))
    )
    rows, columns = (_cells(*axis, count, count_include_pad) for axis, count in zip(axes, lengths, strict=True))
    counts = np.multiply.outer(rows, columns)[..., None]
    return (sums / jnp.asarray(counts, wide.dtype)).astype(x.dtype)


def adaptive_avg_pool(x: Float[Array, "n h w c"], size: int | Pair) -> Float[Array, "n height width c"]:
    """The mean of the cells that each of `size` outputs touches, as `torch.nn.functional.adaptive_avg_pool2d`.

    Output i of an axis averages the cells from floor(i * n / m) to ceil((i + 1) * n / m) of n. Raises ValueError as
    `resize` does, of which this is the method "area".
    """
    return resize(x, size, method="area")


def _cells(size: int, length: int, stride: int, pad: Pair, count: int, count_include_pad: bool) -> np.ndarray:
    """How many cells each window along one axis has in its mean."""
    start = np.arange(count) * stride - pad[0]
    low, high = (-pad[0], size + pad[1]) if count_include_pad else (0, size)
    return np.minimum(start + length, high) - np.maximum(start, low)
