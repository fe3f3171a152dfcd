"""Winograd's minimal filtering: a 3x3 convolution by 2.25 times fewer multiplications (Lavin and Gray 2016).

Each 2x2 tile of the result depends on 4x4 pixels. Both these and the kernel are transformed into 4x4 numbers, in which
the convolution is a product: of matrices, over the channels, one for each of the sixteen. F(2x2, 3x3) adds, subtracts
and halves alone, so that in float32 it is as exact as the plain sum.

All sixteen stand in one array, that one loop makes and one product takes: XLA compiles every loop by itself, and with
sixteen arrays there are over thirty in each pass of each layer.
"""

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
"""Of transformed pixels, above which images are convolved one part after another, which needs less memory."""


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
    (n, height, width, k), (down, across) = upstream.shape, _tiles(x, pads)
    even = jnp.pad(upstream, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
    pixels = even.reshape(n, down, 2, across, 2, k).transpose(2, 4, 0, 1, 3, 5)
    upstream = _both(_from_pixels, pixels).reshape(16, -1, k)
    products = lax.dot_general(_of_pixels(x, pads), upstream, (((1,), (1,)), ((0,), (0,))))
    kernel = jnp.asarray(np.kron(_OF_KERNEL, _OF_KERNEL).T, x.dtype) @ products.reshape(16, -1)
    return kernel.reshape(3, 3, x.shape[-1], k)


def _convolve(x: Array, kernel: Array, pads: Pads, along: int) -> Array:
    """With the axis of the transformed kernel that is summed over."""
    parts = _parts(x)
    if parts > 1:
        return jnp.concatenate([_convolve(part, kernel, pads, along) for part in jnp.split(x, parts)])
    height, width = _size(x, pads)
    down, across = _tiles(x, pads)
    products = lax.dot_general(_of_pixels(x, pads), kernel, (((2,), (along,)), ((0,), (0,))))
    n, k = x.shape[0], products.shape[-1]
    pixels = _both(_to_pixels, products.reshape(4, 4, n, down, across, k))
    y = pixels.transpose(2, 3, 0, 4, 1, 5).reshape(n, 2 * down, 2 * across, k)
    return y[:, :height, :width]


def _parts(x: Array) -> int:
    """In how many parts images are convolved; in one, where nobody knows how many there are."""
    if symbolic(x.shape[0]):
        return 1
    bytes_ = 4 * x.size * x.dtype.itemsize
    enough = (n for n in range(1, x.shape[0]) if x.shape[0] % n == 0 and bytes_ <= n * _MOST_BYTES)
    return next(enough, max(1, x.shape[0]))


def _size(x: Array, pads: Pads) -> tuple[int, int]:
    return x.shape[1] + sum(pads[0]) - 2, x.shape[2] + sum(pads[1]) - 2


def _tiles(x: Array, pads: Pads) -> tuple[int, int]:
    height, width = _size(x, pads)
    return -(-height // 2), -(-width // 2)


def _transformed(of_kernel: np.ndarray, kernel: Array) -> Array:
    both = jnp.asarray(np.kron(of_kernel, of_kernel), kernel.dtype) @ kernel.reshape(9, -1)
    return both.reshape(16, *kernel.shape[2:])


def _of_pixels(x: Array, pads: Pads) -> Array:
    """The sixteen transformed pixels of all tiles, each as a matrix of tiles by channels."""
    (height, width), (down, across) = _size(x, pads), _tiles(x, pads)
    (top, bottom), (left, right) = pads
    x = jnp.pad(x, ((0, 0), (top, bottom + height % 2), (left, right + width % 2), (0, 0)))
    columns = _of_axis(x, across)
    return _of_axis(columns, down).reshape(16, -1, x.shape[-1])


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
