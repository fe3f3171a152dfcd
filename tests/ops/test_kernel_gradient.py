import jax
import jax.numpy as jnp
import numpy as np
import pytest

from segjax.ops import kernel_gradient
from segjax.ops.geometry import ConvGeometry


def by_hand(x, upstream, geometry):
    """Each number of the kernel by a sum over the pixels that it saw."""
    kernel = np.zeros((*geometry.taps, x.shape[-1], upstream.shape[-1]))
    (top, _), (left, _) = geometry.pads
    for row, column in np.ndindex(*geometry.taps):
        for i, j in np.ndindex(*upstream.shape[1:3]):
            y = i * geometry.strides[0] + row * geometry.dilations[0] - top
            z = j * geometry.strides[1] + column * geometry.dilations[1] - left
            if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
                kernel[row, column] += x[:, y, z].T @ upstream[:, i, j]
    return kernel


@pytest.mark.parametrize(
    ("size", "taps", "pads", "strides", "dilations"),
    [
        ((8, 7), (3, 3), ((1, 1), (1, 1)), (1, 1), (1, 1)),
        ((9, 6), (5, 2), ((2, 1), (0, 1)), (1, 1), (1, 1)),
        ((9, 8), (3, 3), ((-1, 0), (2, -2)), (1, 1), (1, 1)),
        ((7, 9), (3, 3), ((2, 2), (3, 3)), (1, 1), (2, 3)),
        ((2, 3), (3, 3), ((6, 6), (6, 6)), (1, 1), (6, 6)),  # of which most taps see nothing
        ((1, 1), (3, 3), ((1, 1), (1, 1)), (1, 1), (1, 1)),
        ((9, 8), (3, 3), ((1, 1), (1, 1)), (2, 2), (1, 1)),
        ((13, 10), (7, 7), ((3, 3), (3, 3)), (2, 3), (1, 1)),
        ((11, 12), (3, 2), ((2, 1), (-1, 2)), (3, 2), (2, 1)),
        ((8, 8), (4, 4), ((0, 0), (0, 0)), (4, 4), (1, 1)),
        ((1, 1), (3, 3), ((1, 1), (1, 1)), (2, 2), (1, 1)),
    ],
)
def test_is_the_sum_over_pixels(size, taps, pads, strides, dilations):
    geometry = ConvGeometry(size, taps, pads, strides, dilations, 1)
    lengths = zip(size, taps, pads, strides, dilations, strict=True)
    out = [(n + sum(pad) - (tap - 1) * dilation - 1) // stride + 1 for n, tap, pad, stride, dilation in lengths]
    rng = np.random.default_rng(0)
    x, upstream = rng.standard_normal((2, *size, 3)), rng.standard_normal((2, *out, 5))
    forms = [kernel_gradient.by_taps]
    if strides == (1, 1):
        forms.append(kernel_gradient.by_shifts)
    with jax.enable_x64(True):
        for form in forms:
            found = jax.jit(lambda x, upstream, form=form: form(x, upstream, geometry))(
                jnp.asarray(x), jnp.asarray(upstream)
            )
            np.testing.assert_allclose(found, by_hand(x, upstream, geometry), rtol=0, atol=1e-12)
