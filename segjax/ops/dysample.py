"""DySample: upsampling by reading the image at learned points."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from segjax.ops.geometry import symbolic
from segjax.ops.grid_sample import clip_to_border, read
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


@on_any_mesh
def dysample(
    x: Float[Array, "n h w c"],
    offsets: Float[Array, "n h w 2*{groups}*{factor}**2"],
    factor: int = 2,
    *,
    groups: int = 4,
) -> Float[Array, "n h*{factor} w*{factor} c"]:
    """Read `x` bilinearly at the points of a regular grid `factor` times finer, each moved by its offset.

    The channels of `offsets` are (axis, group, u, v) in that order, the first axis being x (columns): entry (h, w) of
    them moves the point of output pixel `(h*f + u, w*f + v)`, in pixels of `x`, for that group's block of channels.
    Points outside read the nearest pixel of the border. Zero offsets give `resize(x, (h*f, w*f), "bilinear")`.

    The offsets are predicted by a 1x1 convolution from c to `2*g*f*f` channels, times 0.25 (static scope), or times
    half the sigmoid of a second such convolution without bias (dynamic scope): 32c + 32 and 64c + 32 parameters for
    the defaults, 8224 and 16416 at c = 256.

    Any floating dtype; positions are computed, and float16 and bfloat16 summed, in float32. Of JAX's modes of
    differentiation `jet` alone fails, whose rule of `select` takes no scalars.

    Raises:
        ValueError: where the shapes do not fit together or `groups` does not divide the channels.

    Reference: Liu et al. 2023, "Learning to Upsample by Learning to Sample", the "linear + pixel shuffle" design,
    with the channel order of its authors' implementation, so converted weights need no permutation.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> offsets = jnp.zeros((1, 2, 2, 8))  # nothing is moved: bilinear
        >>> ops.dysample(x, offsets, groups=1)[0, 0, :, 0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    channels = 2 * groups * factor**2
    if x.ndim != 4 or 0 in x.shape[1:3] or factor < 1 or groups < 1 or x.shape[3] % groups:
        raise ValueError(f"dysample by {factor} needs (n h w c) with c divisible by {groups} groups, got {x.shape}.")
    if offsets.shape != (*x.shape[:3], channels):
        raise ValueError(f"dysample needs offsets of shape {(*x.shape[:3], channels)}, got {offsets.shape}.")

    n, h, w, c = x.shape
    offsets = widen(offsets)
    moves = offsets.reshape(n, h, w, 2, groups, factor, factor).transpose(3, 0, 4, 1, 5, 2, 6)  # axis n g h u w v
    start = ((np.arange(factor) + 0.5) / factor - 0.5)[None]
    # A size that is a symbol of `jax.export` is known when the program runs.
    count = jnp.arange if symbolic(h, w) else np.arange
    down, across = ((count(length)[:, None] + start).astype(moves.dtype) for length in (h, w))
    rows = moves[1] + down[None, None, :, :, None, None]
    columns = moves[0] + across[None, None, None, None]

    fine = (n, groups, h * factor, w * factor)
    rows = clip_to_border(rows.reshape(fine), h)
    columns = clip_to_border(columns.reshape(fine), w)
    grouped = widen(x).reshape(n, h, w, groups, c // groups)
    by_group = jax.vmap(partial(read, method="bilinear"), in_axes=(2, 0, 0), out_axes=2)
    return jax.vmap(by_group)(grouped, rows, columns).reshape(n, h * factor, w * factor, c).astype(x.dtype)
