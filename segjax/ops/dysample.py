"""DySample: upsampling by reading the image at learned points."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from segjax.ops.geometry import symbolic
from segjax.ops.grid_sample import clip_to_border, read
from segjax.ops.meshes import on_any_mesh
from segjax.ops.near_points import REACH, read_near
from segjax.ops.phases import woven
from segjax.ops.precision import at_least_float32, refuse_whole_numbers, widen


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
        ValueError: where the shapes do not fit together, `groups` does not divide the channels, or one of the two is
            not floating.

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
    refuse_whole_numbers("dysample", x=x, offsets=offsets)
    forms = {"default": _by_gathers, "tpu": _on_tpus}
    forms = {platform: partial(form, factor=factor, groups=groups) for platform, form in forms.items()}
    return lax.platform_dependent(x, offsets, **forms)


@partial(jax.jit, static_argnames=("factor", "groups"), inline=True)
def _by_gathers(x: Array, offsets: Array, factor: int, groups: int) -> Array:
    n, h, w, c = x.shape
    fine = (n, groups, h * factor, w * factor)
    rows, columns = (places.transpose(0, 3, 1, 4, 2, 5).reshape(fine) for places in _positions(offsets, factor, groups))
    grouped = widen(x).reshape(n, h, w, groups, c // groups)
    by_group = jax.vmap(partial(read, method="bilinear"), in_axes=(2, 0, 0), out_axes=2)
    return jax.vmap(by_group)(grouped, rows, columns).reshape(n, h * factor, w * factor, c).astype(x.dtype)


def _on_tpus(x: Array, offsets: Array, factor: int, groups: int) -> Array:
    """By windows where no point lies far from its pixel, which is only known when the program runs."""
    distances = lax.stop_gradient(jnp.stack(_distances(offsets, factor, groups)))
    near = ((distances >= -REACH) & (distances < REACH)).all()
    # What gradients need is computed again: the choice would keep what either form wants, the other's as zeros.
    forms = (partial(form, factor=factor, groups=groups) for form in (_by_windows, _by_gathers))
    return lax.cond(near, *(jax.checkpoint(form, prevent_cse=False) for form in forms), x, offsets)


def _by_windows(x: Array, offsets: Array, factor: int, groups: int) -> Array:
    n, h, w, c = x.shape
    wide = at_least_float32(x.dtype)
    down, right = (each.astype(wide) for each in _distances(offsets, factor, groups))
    phases = read_near(x.reshape(n, h, w, groups, c // groups), down, right)
    return woven([phase.reshape(x.shape) for phase in phases], (factor, factor))


@partial(jax.jit, static_argnames=("factor", "groups"), inline=True)
def _distances(offsets: Array, factor: int, groups: int) -> tuple[Array, Array]:
    """How far down and to the right of pixel (h, w) each phase's points lie, (phase n h w g)."""
    n, h, w, _ = offsets.shape

    def phases(positions: Array, pixels: Array | np.ndarray) -> Array:
        apart = positions - pixels.astype(positions.dtype)
        return jnp.moveaxis(apart, (4, 5), (0, 1)).reshape(factor**2, n, h, w, groups)

    rows, columns = map(phases, _positions(offsets, factor, groups), _pixels(h, w))
    return rows, columns


def _positions(offsets: Array, factor: int, groups: int) -> tuple[Array, Array]:
    """The row and the column that each pixel reads in each phase, within the image, (n h w g u v)."""
    n, h, w, _ = offsets.shape
    moves = widen(offsets).reshape(n, h, w, 2, groups, factor, factor)
    start = ((np.arange(factor) + 0.5) / factor - 0.5).reshape(1, 1, 1, 1, -1)
    rows, columns = _pixels(h, w)
    down, across = rows + start[..., None], columns + start[..., None, :]
    return (
        clip_to_border(moves[:, :, :, 1] + down.astype(moves.dtype), h),
        clip_to_border(moves[:, :, :, 0] + across.astype(moves.dtype), w),
    )


def _pixels(h: int, w: int) -> tuple[Array | np.ndarray, Array | np.ndarray]:
    """The row and the column of each pixel, to be broadcast over (n h w g u v)."""
    # A size that is a symbol of `jax.export` is known when the program runs.
    count = jnp.arange if symbolic(h, w) else np.arange
    return count(h).reshape(1, -1, 1, 1, 1, 1), count(w).reshape(1, 1, -1, 1, 1, 1)
