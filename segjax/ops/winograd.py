"""Winograd's minimal filtering: a 3x3 convolution by 2.25 times fewer multiplications (Lavin and Gray 2016).

Each 2x2 tile of the result depends on 4x4 pixels. Both these and the kernel are transformed into 4x4 numbers, in which
the convolution is a product: of matrices, over the channels, one for each of the sixteen. F(2x2, 3x3) adds, subtracts
and halves alone, so that in float32 it is as exact as the plain sum.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Pads = Sequence[tuple[int, int]]


def convolve(x: Float[Array, "n h w c"], kernel: Float[Array, "3 3 c k"], pads: Pads) -> Float[Array, "n oh ow k"]:
    """A 3x3 convolution of stride 1, the kernel not flipped, with `pads` rows and columns of zeros around `x`."""
    return _convolve(x, [[kernel[p, q] for q in range(3)] for p in range(3)], pads, along=0)


def convolve_turned(
    x: Float[Array, "n h w k"], kernel: Float[Array, "3 3 c k"], pads: Pads
) -> Float[Array, "n oh ow c"]:
    """The same by the kernel turned round, from its features to its channels, without a turned copy of it."""
    return _convolve(x, [[kernel[2 - p, 2 - q] for q in range(3)] for p in range(3)], pads, along=1)


def _convolve(x: Array, kernel: Sequence[Sequence[Array]], pads: Pads, along: int) -> Array:
    height, width = _sizes(x, pads)
    n, k = x.shape[0], kernel[0][0].shape[1 - along]
    tiles = (n, -(-height // 2), -(-width // 2), k)
    products = [
        [lax.dot_general(v, u, (((1,), (along,)), ((), ()))) for v, u in zip(*rows, strict=True)]
        for rows in zip(_of_pixels(x, pads), _twice(_of_kernel, kernel), strict=True)
    ]
    pixels = [[pixel.reshape(tiles) for pixel in row] for row in _twice(_to_pixels, products)]
    y = jnp.stack([jnp.stack(row, axis=3) for row in pixels], axis=2)
    return y.reshape(n, 2 * tiles[1], 2 * tiles[2], k)[:, :height, :width]


def kernel_gradient(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], pads: Pads
) -> Float[Array, "3 3 c k"]:
    """The gradient of the kernel of `convolve`, from that of its result."""
    height, width = upstream.shape[1:3]
    even = jnp.pad(upstream, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    pixels = [[even[:, p::2, q::2].reshape(-1, even.shape[-1]) for q in range(2)] for p in range(2)]
    products = [
        [lax.dot_general(v, m, (((0,), (0,)), ((), ()))) for v, m in zip(*rows, strict=True)]
        for rows in zip(_of_pixels(x, pads), _twice(_from_pixels, pixels), strict=True)
    ]
    return jnp.stack([jnp.stack(row) for row in _twice(_to_kernel, products)])


def _sizes(x: Array, pads: Pads) -> tuple[int, int]:
    return x.shape[1] + sum(pads[0]) - 2, x.shape[2] + sum(pads[1]) - 2


def _of_pixels(x: Array, pads: Pads) -> list[list[Array]]:
    """The sixteen transformed pixels of all tiles, each as a matrix of tiles by channels."""
    height, width = _sizes(x, pads)
    (top, bottom), (left, right) = pads
    x = jnp.pad(x, ((0, 0), (top, bottom + height % 2), (left, right + width % 2), (0, 0)))
    down, across = height + height % 2, width + width % 2
    pixels = [[x[:, p : p + down : 2, q : q + across : 2] for q in range(4)] for p in range(4)]
    return [[v.reshape(-1, x.shape[-1]) for v in row] for row in _twice(_of_input, pixels)]


def _twice(transform: Callable[..., tuple[Array, ...]], grid: Sequence[Sequence[Array]]) -> list[tuple[Array, ...]]:
    """A transform of one dimension, down the columns of a grid and then along its rows."""
    columns = [transform(*column) for column in zip(*grid, strict=True)]
    return [transform(*row) for row in zip(*columns, strict=True)]


def _of_input(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    return a - c, b + c, c - b, b - d


def _of_kernel(a: Array, b: Array, c: Array) -> tuple[Array, ...]:
    ends = (a + c) / 2
    return a, ends + b / 2, ends - b / 2, c


def _to_pixels(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    return a + b + c, b - c - d


# The transposes of the last two, for the gradient.


def _from_pixels(a: Array, b: Array) -> tuple[Array, ...]:
    return a, a + b, a - b, -b


def _to_kernel(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, ...]:
    return a + (b + c) / 2, (b - c) / 2, (b + c) / 2 + d
