"""Convolutions of few channels or features, regrouped so that the product of matrices inside has more of both.

XLA:CPU copies what each place of the kernel sees before it multiplies. Of few features that copy is most of the time,
and of few channels it goes number by number.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import ConvGeometry
from segjax.ops.seen import padded_by

_NHWC = ("NHWC", "HWIO", "NHWC")


def columns_at_once(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], geometry: ConvGeometry, columns: int
) -> Float[Array, "n oh ow k"]:
    """Of stride 1 and no dilation: some columns of the output, side by side, as the features of a wider kernel.

    It moves by as many; their number divides the output's width.
    """
    beside = [jnp.pad(kernel, ((0, 0), (i, columns - 1 - i), (0, 0), (0, 0))) for i in range(columns)]
    y = lax.conv_general_dilated(
        x, jnp.concatenate(beside, axis=-1), (1, columns), geometry.pads, dimension_numbers=_NHWC
    )
    return y.reshape(*y.shape[:2], columns * y.shape[2], kernel.shape[-1])


def blocks_as_channels(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw c k"], geometry: ConvGeometry
) -> Float[Array, "n oh ow k"]:
    """Of a stride above 1 and no dilation: the pixels of a block as large as the stride are the channels of one."""
    pads, blocks = [], []
    for size, taps, (before, after), stride in zip(
        geometry.size, geometry.taps, geometry.pads, geometry.strides, strict=True
    ):
        out = (size + before + after - taps) // stride + 1
        needed = -(-taps // stride)
        blocks.append(needed)
        pads.append((before, (out - 1 + needed) * stride - size - before))
    (down, across), (rows, columns) = geometry.strides, blocks
    x = padded_by(x, (pads[0], pads[1]))
    ends = ((0, blocks[i] * geometry.strides[i] - geometry.taps[i]) for i in (0, 1))
    kernel = jnp.pad(kernel, (*ends, (0, 0), (0, 0)))
    n, height, width, channels = x.shape
    x = x.reshape(n, height // down, down, width // across, across, channels).swapaxes(2, 3)
    kernel = kernel.reshape(rows, down, columns, across, channels, -1).swapaxes(1, 2)
    together = down * across * channels
    return lax.conv_general_dilated(
        x.reshape(n, height // down, width // across, together),
        kernel.reshape(rows, columns, together, -1),
        (1, 1),
        "VALID",
        dimension_numbers=_NHWC,
    )
