"""CARAFE: upsampling by a weighted sum of each neighbourhood, with predicted weights."""

from functools import reduce
from itertools import product
from math import isqrt

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import Multilinear, derivative, like
from segjax.ops.phases import apart, woven
from segjax.ops.precision import at_least_float32, refuse_whole_numbers


@on_any_mesh
def carafe(
    x: Float[Array, "n h w c"], kernels: Float[Array, "n fine_h fine_w taps"], *, groups: int = 1
) -> Float[Array, "n fine_h fine_w c"]:
    """Reassemble `x` with one k x k kernel per output pixel: the content-aware half of CARAFE that has no parameters.

    With factor f, `kernels` are `(n, h*f, w*f, groups*k*k)` and the result is `(n, h*f, w*f, c)`.
    Output pixel `(h*f + u, w*f + v)` is the sum over the k x k pixels around (h, w), zeros outside, of pixel times
    kernel entry; entries run by rows. With `groups`, the kernel's channels are (group, row, column) and each group
    serves its block of channels. The factor and the kernel's size are read from the shapes. The paper softmaxes each
    kernel over its k*k entries: that is the caller's, as the predictor is.

    The paper's predictor is a 1x1 convolution to 64 channels, a 3x3 convolution to `f*f*k*k`, `pixel_shuffle` by f and
    the softmax, with f = 2 and k = 5: 64c + 64 and 57700 parameters with biases, 74148 in all at c = 256.

    Any floating dtype; float16 and bfloat16 are summed in float32. Nothing is unfolded to the k*k times larger tensor:
    the shifted products are one fused loop, and so are their transposes; the kernels' gradient, a small matrix product
    per pixel, goes row by row.

    Raises:
        ValueError: where the shapes do not fit together, k is even, `groups` does not divide the channels, or one
            of the two is not floating.

    Reference: Wang et al. 2019, "CARAFE: Content-Aware ReAssembly of FEatures".

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> kernels = jnp.zeros((1, 4, 4, 9)).at[..., 4].set(1.0)  # of 3x3 taps, the one in the middle
        >>> ops.carafe(x, kernels)[0, :, :, 0].tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], [2.0, 2.0, 3.0, 3.0]]
    """
    if x.ndim != 4 or kernels.ndim != 4 or 0 in x.shape[1:] or groups < 1 or x.shape[3] % groups:
        raise ValueError(
            f"carafe needs (n h w c) with a pixel and c divisible by {groups} groups, and kernels of 4 axes, "
            f"got shapes {x.shape} and {kernels.shape}."
        )
    n, h, w, c = x.shape
    factor, size = kernels.shape[1] // h, isqrt(kernels.shape[3] // groups)
    if factor < 1 or size % 2 == 0 or kernels.shape != (n, h * factor, w * factor, groups * size**2):
        raise ValueError(
            f"carafe of shape {x.shape} needs kernels ({n} {h}*f {w}*f {groups}*k*k) with k odd, got {kernels.shape}."
        )
    refuse_whole_numbers("carafe", x=x, kernels=kernels)
    wide = at_least_float32(x.dtype)
    features = x.reshape(n, h, w, groups, c // groups).astype(wide)
    weights = kernels.reshape(n, h, factor, w, factor, groups, size, size).astype(wide)
    y = derivative(reassembly(features, factor, size), 2, features, weights)
    return y.reshape(n, h * factor, w * factor, c).astype(x.dtype)


def reassembly(x: Float[Array, "n h w g c"], factor: int, size: int) -> Multilinear:
    """The form of pixels (n h w g c), kernels (n h u w v g k k) and results (n h u w v g c), k being `size`."""
    n, h, w, g, c = x.shape
    fine = n, h, factor, w, factor, g
    arrays = like(x), like(x, (*fine, size, size)), like(x, (*fine, c))
    plain, by_phase = (_input_gradient, _kernels_gradient, _reassembled), (_to_input, _to_kernels, _to_output)
    return Multilinear(plain, size, on_tpu=by_phase, arrays=arrays)


def _reassembled(
    x: Float[Array, "n h w g c"], kernels: Float[Array, "n h u w v g k k"], size: int
) -> Float[Array, "n h u w v g c"]:
    _, h, w, _, _ = x.shape
    padded = _pad(x, size // 2, (1, 2))
    return reduce(
        jnp.add,
        (
            padded[:, a : a + h, None, b : b + w, None] * kernels[..., a, b, None]
            for a, b in product(range(size), repeat=2)
        ),
    )


def _input_gradient(
    kernels: Float[Array, "n h u w v g k k"], gradient: Float[Array, "n h u w v g c"], size: int
) -> Float[Array, "n h w g c"]:
    _, h, factor, w, _, _, _ = gradient.shape
    # Tap (a, b) of the output at (i, j) reads pixel (i + a - size // 2, j + b - size // 2): seen from the pixel, the
    # outputs that read it by that tap lie at the mirrored place.
    g, k = (_pad(v, size // 2, (1, 3)) for v in (gradient, kernels))
    shares = []
    for a, b, u, v in product(range(size), range(size), range(factor), range(factor)):
        at = (slice(None), slice(size - 1 - a, size - 1 - a + h), u, slice(size - 1 - b, size - 1 - b + w), v)
        shares.append(g[at] * k[at][..., a, b, None])
    return reduce(jnp.add, shares)


def _kernels_gradient(
    x: Float[Array, "n h w g c"], gradient: Float[Array, "n h u w v g c"], size: int
) -> Float[Array, "n h u w v g k k"]:
    """A small matrix product per pixel, row by row."""
    _, h, w, _, _ = x.shape
    padded = _pad(x, size // 2, (1, 2))

    def row(_: None, i: Array) -> tuple[None, Array]:
        rows = lax.dynamic_slice_in_dim(padded, i, size, axis=1)
        windows = jnp.stack([rows[:, a, b : b + w] for a, b in product(range(size), repeat=2)], axis=3)
        here = lax.dynamic_index_in_dim(gradient, i, axis=1, keepdims=False)
        return None, jnp.einsum("nwgtc,nuwvgc->nuwvgt", windows, here, precision=lax.Precision.HIGHEST)

    _, by_row = lax.scan(row, None, jnp.arange(h))
    return jnp.moveaxis(by_row, 0, 1).reshape(*gradient.shape[:-1], size, size)


def _to_output(
    x: Float[Array, "n h w g c"], kernels: Float[Array, "n h u w v g k k"], size: int
) -> Float[Array, "n h u w v g c"]:
    """`_reassembled` on TPUs: a sum a phase, of arrays whose last axes are long."""
    n, h, factor, w, _, g, _, _ = kernels.shape
    padded = _pad(x.reshape(n, h, w, -1), size // 2, (1, 2))
    taps = [*product(range(size), repeat=2)]
    phases = [
        reduce(jnp.add, (padded[:, a : a + h, b : b + w] * _spread(k[..., a, b], x.shape[-1]) for a, b in taps))
        for k in _phases(kernels, (g, size, size))
    ]
    return woven(phases, (factor, factor)).reshape(n, h, factor, w, factor, g, -1)


def _to_input(
    kernels: Float[Array, "n h u w v g k k"], gradient: Float[Array, "n h u w v g c"], size: int
) -> Float[Array, "n h w g c"]:
    """`_input_gradient` on TPUs."""
    n, h, _, w, _, g, c = gradient.shape
    taps, shares = [*product(range(size), repeat=2)], []
    for of_y, of_k in zip(
        _phases(gradient, (g * c,)),
        _phases(kernels, (g, size, size)),
        strict=True,
    ):
        y, k = (_pad(each, size // 2, (1, 2)) for each in (of_y, of_k))
        places = [
            (slice(None), *(slice(size - 1 - d, size - 1 - d + s) for d, s in zip(at, (h, w), strict=True)))
            for at in taps
        ]
        terms = (y[at] * _spread(k[at][..., a, b], c) for at, (a, b) in zip(places, taps, strict=True))
        shares.append(reduce(jnp.add, terms))
    return reduce(jnp.add, shares).reshape(n, h, w, g, c)


def _to_kernels(
    x: Float[Array, "n h w g c"], gradient: Float[Array, "n h u w v g c"], size: int
) -> Float[Array, "n h u w v g k k"]:
    """`_kernels_gradient` on TPUs."""
    n, h, factor, w, _, g, c = gradient.shape
    padded = _pad(x.reshape(n, h, w, -1), size // 2, (1, 2))
    taps = [*product(range(size), repeat=2)]
    phases = [
        jnp.concatenate(
            [(padded[:, a : a + h, b : b + w] * y).reshape(n, h, w, g, c).sum(-1, keepdims=True) for a, b in taps], -1
        ).reshape(n, h, w, -1)
        for y in _phases(gradient, (g * c,))
    ]
    return woven(phases, (factor, factor)).reshape(n, h, factor, w, factor, g, size, size)


def _phases(fine: Float[Array, "n h u w v *last"], last: tuple[int, ...]) -> list[Array]:
    """The phases of a fine array, each with the last axes as these."""
    n, h, factor, w, _ = fine.shape[:5]
    flat = fine.reshape(n, h * factor, w * factor, -1)  # which it was before: XLA leaves both reshapes out
    return [phase.reshape(n, h, w, *last) for phase in apart(flat, (factor, factor))]


def _spread(of_groups: Float[Array, "n h w g"], channels: int) -> Float[Array, "n h w _"]:
    """For each group's channels its value; of one group it is left to broadcast."""
    return of_groups if of_groups.shape[-1] == 1 else jnp.repeat(of_groups, channels, axis=-1)


def _pad(x: Array, reach: int, axes: tuple[int, int]) -> Array:
    return jnp.pad(x, [(reach, reach) if axis in axes else (0, 0) for axis in range(x.ndim)])
