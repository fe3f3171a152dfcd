"""What the taps of a convolution's kernel see of a padded image, as slices of it."""

from collections.abc import Iterator

import jax.numpy as jnp
from jax import Array, lax

from segjax.ops.geometry import ConvGeometry, Padding, extent


def seen_by_taps(padded: Array, geometry: ConvGeometry) -> Iterator[Array]:
    """What each tap of the kernel sees, row by row."""
    stride, dilation = geometry.strides[0], geometry.dilations[0]
    beyond = extent(geometry.taps[0], dilation) - 1
    for top in range(0, beyond + 1, dilation):
        yield from seen_along(lax.slice_in_dim(padded, top, padded.shape[1] - beyond + top, stride, axis=1), geometry)


def seen_along(rows: Array, geometry: ConvGeometry) -> Iterator[Array]:
    """What each tap in a row of the kernel sees of these rows."""
    stride, dilation = geometry.strides[1], geometry.dilations[1]
    beyond = extent(geometry.taps[1], dilation) - 1
    for left in range(0, beyond + 1, dilation):
        yield lax.slice_in_dim(rows, left, rows.shape[2] - beyond + left, stride, axis=2)


def padded_by(x: Array, pads: Padding) -> Array:
    """An image with zeros around it, or less of it where these are fewer than none."""
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)])
