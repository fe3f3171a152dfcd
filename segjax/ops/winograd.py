"""Winograd's minimal filtering: a 3x3 convolution by 2.25 times fewer multiplications (Lavin and Gray 2016).

Each 2x2 tile of the result depends on 4x4 pixels. Both these and the kernel are transformed into 4x4 numbers, in which
the convolution is a product: of matrices, over the channels, one for each of the sixteen. F(2x2, 3x3) adds, subtracts
and halves alone, so that in float32 it is as exact as the plain sum.

All sixteen stand in one array, that one loop makes and one product takes: XLA compiles every loop by itself, and with
sixteen arrays there are over thirty in each pass of each layer.
"""

import itertools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from segjax.ops.geometry import symbolic

Pads = Sequence[tuple[int, int]]

_OF_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""What makes four numbers of three taps, in one dimension."""
_MOST_BYTES = 2**27
"""Of transformed pixels, above which one strip of rows comes after another, which needs less memory."""


def convolve(x: Float[Array, "n h w c"], kernel: Float[Array, "3 3 c k"], pads: Pads) -> Float[Array, "n oh ow k"]:
    """A 3x3 convolution of stride 1, the kernel not flipped, with `pads` rows and columns of zeros around `x`."""
    return _convolve(x, _transformed(_OF_KERNEL, kernel), pads, along=1)


def convolve_turned(
    x: Float[Array, "n h w k"], kernel: Float[Array, "3 3 c k"], pads: Pads
) -> Float[Array, "n oh ow c"]:
    """The same by the kernel turned round, from its features to its channels, without a turned copy of it."""
    return _convolve(x, _transformed(_OF_KERNEL[:, ::-1], kernel), pads, along=2)


def kernel_gradient(
    x: Float[Array, "n h w c"], upstream: Float[Array, "n oh ow k"], pads: Pads
) -> Float[Array, "3 3 c k"]:
    """The gradient of the kernel of `convolve`, from that of its result."""
    x, k = _in_tiles(x, pads), upstream.shape[-1]
    upstream = jnp.pad(upstream, ((0, 0), (0, upstream.shape[1] % 2), (0, upstream.shape[2] % 2), (0, 0)))
    products = lax.dot_general(_of_pixels(x), _of_upstream(upstream), (((1,), (1,)), ((0,), (0,))))
    kernel = jnp.asarray(np.kron(_OF_KERNEL, _OF_KERNEL).T, x.dtype) @ products.reshape(16, -1)
    return kernel.reshape(3, 3, x.shape[-1], k)


def _convolve(x: Array, kernel: Array, pads: Pads, along: int) -> Array:
    """With the axis of the transformed kernel that is summed over."""
    height, width = (size + sum(pad) - 2 for size, pad in zip(x.shape[1:3], pads, strict=True))
    x = _in_tiles(x, pads)
    strips = [_strip(x[:, 2 * i : 2 * j + 2], kernel, along) for i, j in _strips(x)]
    return jnp.concatenate(strips, axis=1)[:, :height, :width]


def _strip(x: Array, kernel: Array, along: int) -> Array:
    n, k = x.shape[0], kernel.shape[3 - along]
    down, across = _tiles(x)
    products = lax.dot_general(_of_pixels(x), kernel, (((2,), (along,)), ((0,), (0,))))
    pixels = _both(_to_pixels, products.reshape(4, 4, n, down, across, k))
    return pixels.transpose(2, 3, 0, 4, 1, 5).reshape(n, 2 * down, 2 * across, k)


def _in_tiles(x: Array, pads: Pads) -> Array:
    """With its zeros around it, and more where the result has an odd number of rows or columns."""
    sides = [(low, high + (size + low + high) % 2) for size, (low, high) in zip(x.shape[1:3], pads, strict=True)]
    return jnp.pad(x, ((0, 0), *sides, (0, 0)))


def _tiles(x: Array) -> tuple[int, int]:
    """How many are below and beside each other, of which each sees a row and a column of the next on either side."""
    return x.shape[1] // 2 - 1, x.shape[2] // 2 - 1


def _strips(x: Array) -> list[tuple[int, int]]:
    """Between which rows of tiles each strip is; in one, where nobody knows how many images there are."""
    n, (down, across) = x.shape[0], _tiles(x)
    count = 1
    if not symbolic(n):
        count = min(down, max(1, -(-16 * n * down * across * x.shape[3] * x.dtype.itemsize // _MOST_BYTES)))
    bounds = [down * i // count for i in range(count + 1)]
    return list(itertools.pairwise(bounds))


def _transformed(of_kernel: np.ndarray, kernel: Array) -> Array:
    both = jnp.asarray(np.kron(of_kernel, of_kernel), kernel.dtype) @ kernel.reshape(9, -1)
    return both.reshape(16, *kernel.shape[2:])


def _of_pixels(x: Array) -> Array:
    """The sixteen transformed pixels of all tiles, each as a matrix of tiles by channels."""
    down, across = _tiles(x)
    return _of_axis(_of_axis(x, across), down).reshape(16, -1, x.shape[-1])


def _of_upstream(x: Array) -> Array:
    n, height, width, k = x.shape
    pixels = x.reshape(n, height // 2, 2, width // 2, 2, k).transpose(2, 4, 0, 1, 3, 5)
    return _both(_from_pixels, pixels).reshape(16, -1, k)


def _of_axis(x: Array, tiles: int) -> Array:
    """x0 - x2, x1 + x2, x2 - x1 and x1 - x3 of each four that a tile sees along the third axis, as a first axis."""

    def seen(numbers: Sequence[int]) -> Array:
        places = 2 * np.arange(tiles) + np.array(numbers)[:, None]
        return jnp.moveaxis(x.at[:, :, places].get(mode="promise_in_bounds"), 2, 0)

    return seen((0, 1, 2, 1)) + _signed(seen((2, 2, 1, 3)), -1, 1, -1, -1)


def _both(transform: Callable[[Array], Array], x: Array) -> Array:
    """A transform of one dimension along the first axis and along the second."""
    return transform(transform(x).swapaxes(0, 1)).swapaxes(0, 1)


def _to_pixels(x: Array) -> Array:
    """x0 + x1 + x2 and x1 - x2 - x3."""
    return x[:2] + _signed(x[1:3] + x[2:], 1, -1)


def _from_pixels(x: Array) -> Array:
    """x0, x0 + x1, x0 - x1 and -x1: its transpose."""
    first, second = x
    return jnp.stack([first, first + second, first - second, -second])


def _signed(x: Array, *signs: int) -> Array:
    """With a sign for each entry of the first axis."""
    return jnp.asarray(signs, x.dtype).reshape(-1, *(1,) * (x.ndim - 1)) * x
