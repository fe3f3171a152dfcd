"""The gradient of a convolution's kernel as matrix products over all pixels, which is what suits a CPU.

XLA computes it as a convolution whose window is the whole image and whose channels are the images. By YNNPACK
(`segjax.eigen`) that takes up to six times as long as these products.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from segjax.ops.geometry import ConvGeometry
from segjax.ops.pointwise import product_over_pixels
from segjax.ops.seen import padded_by, seen_along, seen_by_taps


def by_shifts(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], geometry: ConvGeometry
) -> Float[Array, "kh kw c k"]:
    """All taps by one product, of stride 1: `x` shifted to each column of the kernel, `upstream` to each row."""
    (rows, columns), step = geometry.taps, geometry.dilations[0]
    lengths = x.shape[1], upstream.shape[1]
    across = seen_along(padded_by(x, ((0, 0), geometry.pads[1])), geometry)
    starts = (row * step - geometry.pads[0][0] for row in range(rows))
    down = (padded_by(upstream, ((start, lengths[0] - lengths[1] - start), (0, 0))) for start in starts)
    kernel = product_over_pixels(jnp.concatenate(list(across), axis=-1), jnp.concatenate(list(down), axis=-1))
    return kernel.reshape(columns, x.shape[-1], rows, upstream.shape[-1]).transpose(2, 0, 1, 3)


def by_taps(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], geometry: ConvGeometry
) -> Float[Array, "kh kw c k"]:
    """A product for each tap, of the pixels that it sees, for any stride."""
    seen = seen_by_taps(padded_by(x, geometry.pads), geometry)
    products = jnp.stack([product_over_pixels(each, upstream) for each in seen])
    return products.reshape(*geometry.taps, *products.shape[1:])
