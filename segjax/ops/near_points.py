"""Points near the pixels that ask for them, read without a gather: DySample on TPUs.

What lies within two pixels is between five rows and five columns, so that a bilinear value is a sum over 25 pixels, of
which all but four have no weight. A TPU shifts and multiplies whole tiles, where a gather goes from row to row. The
groups keep an axis of their own before the channels of each: XLA lays columns along the lanes, and spreads over the
channels of a group what they share in the loop itself.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import product

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from segjax.ops.multilinear import Multilinear, derivative, like

REACH = 2
"""Pixels; what reading costs grows with its square."""
_TAPS = 2 * REACH + 1


def read_near(
    x: Float[Array, "n h w g c"], down: Float[Array, "phases n h w g"], right: Float[Array, "phases n h w g"]
) -> Float[Array, "phases n h w g c"]:
    """Read `x` bilinearly at points so far from each of its pixels, both from `-REACH` up to but not `REACH`.

    Float16 and bfloat16 are summed in the dtype of the distances. Pixels that have no weight may be infinite or NaN.
    """
    rows, columns = _weights(down), _weights(right)
    arrays = like(x), like(rows), like(columns), like(x, (len(down), *x.shape))
    return derivative(
        Multilinear((_to_image, _to_rows, _to_columns, _values), None, arrays=arrays), 3, x, rows, columns
    )


def _weights(distances: Float[Array, "phases n h w g"]) -> Float[Array, "phases taps n h w g"]:
    """Of the pixels along one axis: none but for the one before the point and the one after it."""
    before = jnp.floor(distances)
    part = distances - before
    taps = range(-REACH, REACH + 1)
    return jnp.stack([jnp.where(before == i, 1 - part, jnp.where(before == i - 1, part, 0)) for i in taps], axis=1)


def _values(
    x: Float[Array, "n h w g c"], rows: Float[Array, "p t n h w g"], columns: Float[Array, "p t n h w g"], _: None
) -> Float[Array, "p n h w g c"]:
    windows = _windows(x)

    def phase(rows: Array, columns: Array) -> Array:
        across = [_weighted_sum(line, columns) for line in windows]
        return _weighted_sum(across, rows).astype(x.dtype)

    return jnp.stack(_each_by_itself(phase, rows, columns))


def _to_image(
    rows: Float[Array, "p t n h w g"], columns: Float[Array, "p t n h w g"], pull: Float[Array, "p n h w g c"], _: None
) -> Float[Array, "n h w g c"]:
    def phase(rows: Array, columns: Array, pull: Array) -> Array:
        pull, *weights = map(_padded, (pull, *rows, *columns))
        terms = []
        for a, b in product(range(_TAPS), repeat=2):
            # Seen from a pixel, who reads it by tap (a, b) lies at the mirrored place.
            there, row, column = (
                _window(each, _TAPS - 1 - a, _TAPS - 1 - b) for each in (pull, weights[a], weights[_TAPS + b])
            )
            terms.append(_times(there, row * column))
        return reduce(jnp.add, terms)

    return reduce(jnp.add, _each_by_itself(phase, rows, columns, pull)).astype(pull.dtype)


def _to_rows(
    x: Float[Array, "n h w g c"], columns: Float[Array, "p t n h w g"], pull: Float[Array, "p n h w g c"], _: None
) -> Float[Array, "p t n h w g"]:
    return _to_weights(_windows(x), columns, pull)


def _to_columns(
    x: Float[Array, "n h w g c"], rows: Float[Array, "p t n h w g"], pull: Float[Array, "p n h w g c"], _: None
) -> Float[Array, "p t n h w g"]:
    return _to_weights([*zip(*_windows(x), strict=True)], rows, pull)


def _to_weights(lines: Sequence[Sequence[Array]], others: Array, pull: Array) -> Array:
    """The gradient to the weights of these lines of windows, from those of the windows in each."""

    def phase(weights: Array, pull: Array) -> Array:
        return jnp.stack([(_weighted_sum(line, weights) * pull).sum(-1) for line in lines])

    return jnp.stack(_each_by_itself(phase, others, pull.astype(others.dtype)))


def _each_by_itself(run: Callable[..., Array], *phases: Array) -> list[Array]:
    """One loop a phase: XLA would cut them up again, and keep every product, to fuse them with each other."""
    return lax.optimization_barrier([run(*phase) for phase in zip(*phases, strict=True)])


def _windows(x: Float[Array, "n h w g c"]) -> list[list[Array]]:
    """The image as each tap sees it, by rows."""
    padded = _padded(x)
    return [[_window(padded, a, b) for b in range(_TAPS)] for a in range(_TAPS)]


def _padded(x: Float[Array, "n h w *last"]) -> Float[Array, "n tall wide *last"]:
    return jnp.pad(x, [(REACH, REACH) if axis in (1, 2) else (0, 0) for axis in range(x.ndim)])


def _window(padded: Float[Array, "n tall wide *last"], a: int, b: int) -> Float[Array, "n h w *last"]:
    _, tall, wide = padded.shape[:3]
    return padded[:, a : tall - _TAPS + 1 + a, b : wide - _TAPS + 1 + b]


def _weighted_sum(images: Iterable[Array], weights: Iterable[Array]) -> Float[Array, "n h w g c"]:
    return reduce(jnp.add, map(_times, images, weights))


def _times(image: Float[Array, "n h w g c"], weight: Float[Array, "n h w g"]) -> Float[Array, "n h w g c"]:
    """Nothing where the weight is, whatever the pixel."""
    weight = weight[..., None]
    return jnp.where(weight == 0, 0, image.astype(weight.dtype) * weight)
