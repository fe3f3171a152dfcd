"""Transposed convolution, as ordinary convolutions at the low resolution."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import Pair, pair

NHWC = ("NHWC", "HWIO", "NHWC")


def conv_transpose(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw c k"],
    strides: int | Pair = 1,
    padding: int | Pair = 0,
    output_padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Float[Array, "n oh ow o"]:
    """Transposed convolution, equal to `torch.nn.functional.conv_transpose2d`."""
    strides, dilation = pair(strides, "strides"), pair(dilation, "dilation")
    padding = pair(padding, "padding", minimum=0)
    output_padding = pair(output_padding, "output_padding", minimum=0)
    n, h, w, c = x.shape
    kh, kw, _, per_group = kernel.shape
    size = [
        (i - 1) * s - 2 * p + d * (k - 1) + op + 1
        for i, s, p, d, k, op in zip((h, w), strides, padding, dilation, (kh, kw), output_padding, strict=True)
    ]
    features = groups * per_group
    kernel = kernel.reshape(kh, kw, groups, c // groups, per_group).swapaxes(2, 3)
    kernel = kernel.reshape(kh, kw, c // groups, features)
    rows, cols = ([_phase(r, *a) for r in range(a[0])] for a in zip(strides, padding, dilation, (kh, kw), strict=True))
    steps = [-(-o // s) for o, s in zip(size, strides, strict=True)]
    blocks = []
    for row in rows:
        line = []
        for col in cols:
            line.append(_phase_conv(x, kernel, row, col, steps, groups))
        blocks.append(jnp.stack(line, axis=3))
    y = jnp.stack(blocks, axis=2)
    return y.reshape(n, steps[0] * strides[0], steps[1] * strides[1], features)[:, : size[0], : size[1]]


def _phase(r: int, stride: int, padding: int, dilation: int, taps: int) -> tuple[list[int], list[int]]:
    chosen = [k for k in reversed(range(taps)) if (r + padding - k * dilation) % stride == 0]
    return chosen, [(r + padding - k * dilation) // stride for k in chosen]


def _phase_conv(x, kernel, row, col, steps, groups):
    blank = jnp.zeros((x.shape[0], *steps, kernel.shape[-1]), x.dtype)
    taps, pads, dilation = [], [], []
    for (chosen, offsets), m, i in zip((row, col), steps, x.shape[1:3], strict=True):
        if not chosen or offsets[0] >= i or offsets[-1] + m <= 0:
            return blank
        taps.append(jnp.array(chosen))
        pads.append((-offsets[0], offsets[-1] + m - i))
        dilation.append(offsets[1] - offsets[0] if len(offsets) > 1 else 1)
    kernel = kernel[taps[0]][:, taps[1]]
    crop = [(max(-lo, 0), i + min(hi, 0)) for (lo, hi), i in zip(pads, x.shape[1:3], strict=True)]
    x = x[:, crop[0][0] : crop[0][1], crop[1][0] : crop[1][1]]
    pads = [(max(lo, 0), max(hi, 0)) for lo, hi in pads]
    return lax.conv_general_dilated(
        x, kernel, (1, 1), pads, rhs_dilation=dilation, dimension_numbers=NHWC, feature_group_count=groups
    )
