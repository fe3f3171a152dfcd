"""Reading an image at given points, forward and gradient."""

from functools import partial, reduce
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, Int

from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import Multilinear, known
from segjax.ops.precision import widen

SampleMethod = Literal["bilinear", "nearest"]
PaddingMode = Literal["zeros", "border", "reflection"]


@on_any_mesh
def grid_sample(
    x: Float[Array, "n h w c"],
    grid: Float[Array, "n height width 2"],
    method: SampleMethod = "bilinear",
    *,
    padding_mode: PaddingMode = "zeros",
    align_corners: bool = False,
) -> Float[Array, "n height width c"]:
    """Read each image at the points of its grid, as `torch.nn.functional.grid_sample` does.

    A point is (x, y), columns first; -1 and 1 are the outer edges of the image, or the centres of its corner pixels
    with `align_corners`. Outside lie zeros, or the nearest pixel of the border, or the image reflected about its
    edges (about the centres of its edge pixels with `align_corners`). "nearest" rounds halves to even.

    Gradients to `x` and `grid` are torch's too: none to a grid clipped to the border, nor to one read by "nearest". A
    NaN in the grid reads as -1, which torch documents; an infinity lies outside, and reflects to the first pixel.
    Positions are computed in float32 at least; the result has the dtype of `x`, float16 and bfloat16 summed in
    float32.

    Each image is read by itself, so a sharded batch needs no communication. The gradient to `x` adds up in a fixed
    order on every backend. Of JAX's modes of differentiation `jet` alone fails, whose rule of `select` takes no
    scalars.

    Raises:
        ValueError: where `x` is not (n h w c) with a pixel, `grid` is not (n height width 2) for the same n, either is
            not floating, or a name is not one of those above.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> grid = jnp.zeros((1, 1, 1, 2))  # the middle, in -1 to 1
        >>> ops.grid_sample(x, grid).item()
        1.5
    """
    if x.ndim != 4 or 0 in x.shape[1:3] or grid.ndim != 4 or grid.shape[0] != x.shape[0] or grid.shape[3] != 2:
        raise ValueError(f"grid_sample needs (n h w c) and (n height width 2), got shapes {x.shape} and {grid.shape}.")
    if not (jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(grid.dtype, jnp.floating)):
        raise ValueError(f"grid_sample needs floating dtypes, got {x.dtype} and {grid.dtype}.")
    if method not in get_args(SampleMethod):
        raise ValueError(f"grid_sample method must be one of {', '.join(get_args(SampleMethod))}, got {method!r}.")
    if padding_mode not in get_args(PaddingMode):
        raise ValueError(f"padding_mode must be one of {', '.join(get_args(PaddingMode))}, got {padding_mode!r}.")

    grid = widen(grid)
    grid = jnp.where(jnp.isnan(grid), -1, grid)
    columns = _position(grid[..., 0], x.shape[2], padding_mode, align_corners)
    rows = _position(grid[..., 1], x.shape[1], padding_mode, align_corners)
    wide = widen(x)
    one = partial(read, method=method, outside=padding_mode == "zeros")
    return jax.vmap(one)(wide, rows, columns).astype(x.dtype)


def _position(coordinate: Array, size: int, padding_mode: PaddingMode, align_corners: bool) -> Array:
    """In pixels along one axis, 0 at the centre of the first; inside the image but for zero padding."""
    if size == 1 and padding_mode != "zeros":  # which infinity times no distance would miss
        return jnp.zeros_like(coordinate)
    scale, shift = (size - 1, 0.0) if align_corners else (size, 0.5)
    position = (coordinate + 1) * (scale / 2) - shift
    if padding_mode == "zeros":
        return jnp.where(jnp.isfinite(position), position, -2)
    if padding_mode == "reflection":
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        turn = lax.rem(jnp.abs(position - low), jnp.asarray(2 * span, position.dtype))
        position = jnp.where(turn > span, 2 * span - turn, turn) + low
        position = jnp.where(jnp.isnan(position), 0, position)
    return clip_to_border(position, size)


def clip_to_border(position: Float[Array, " *points"], size: int) -> Float[Array, " *points"]:
    """Clip to the centres of the first and last pixel; no gradient there or beyond, as in torch."""
    inside = (position > 0) & (position < size - 1)
    return jnp.where(inside, position, lax.stop_gradient(jnp.clip(position, 0, size - 1)))


def read(
    image: Float[Array, "h w c"],
    rows: Float[Array, " *points"],
    columns: Float[Array, " *points"],
    method: SampleMethod,
    outside: bool = False,
) -> Float[Array, "*points c"]:
    """Read one image at positions in pixels, 0 at the centre of the first; zeros are outside, where any may lie."""
    table = image.reshape(-1, image.shape[2])
    weights, indices = _corners(image, rows, columns, method, outside)
    if outside:  # in a row of its own: the border's pixel, without weight, would be NaN where it is infinite
        table = jnp.pad(table, ((0, 1), (0, 0)))
    corners = zip(lax.stop_gradient(weights), indices, strict=True)
    # Corner by corner it is one loop, which an array of the corners' weights would have to be written for.
    value = reduce(
        jnp.add, (_take_rows(lax.stop_gradient(table), index) * weight[..., None] for weight, index in corners)
    )
    form = Multilinear((_add_weighted, _weights_gradient, _read_weighted), table.shape[0])
    return known(value, form, 2, table, jnp.stack(weights), jnp.stack(indices))


def _read_weighted(
    table: Float[Array, "p c"], weights: Float[Array, " k *points"], indices: Int[Array, " k *points"], size: int
) -> Float[Array, "*points c"]:
    terms = (_take_rows(table, index) * weight[..., None] for weight, index in zip(weights, indices, strict=True))
    return reduce(jnp.add, terms)


# Both transposes go in up to 16 blocks of rows of points, because the values and the shares of the four corners are
# each four times as large as the output.


def _add_weighted(
    weights: Float[Array, " k *points"],
    gradient: Float[Array, "*points c"],
    indices: Int[Array, " k *points"],
    size: int,
) -> Float[Array, "p c"]:
    def block(table: Array, part: tuple[Array, Array, Array]) -> tuple[Array, None]:
        weights, pull, indices = part
        for weight, index in zip(weights, indices, strict=True):
            table = _add_rows(table, pull * weight[..., None], index)
        return table, None

    parts = _blocks(weights, 1), _blocks(gradient, 0), _blocks(indices, 1)
    return lax.scan(block, jnp.zeros((size, gradient.shape[-1]), gradient.dtype), parts)[0]


def _weights_gradient(
    table: Float[Array, "p c"], gradient: Float[Array, "*points c"], indices: Int[Array, " k *points"], size: int
) -> Float[Array, " k *points"]:
    def block(part: tuple[Array, Array]) -> Array:
        pull, indices = part
        return jnp.stack([(_take_rows(table, index) * pull).sum(-1) for index in indices])

    each = lax.map(block, (_blocks(gradient, 0), _blocks(indices, 1)))
    return jnp.moveaxis(each, 0, 1).reshape(indices.shape)


def _blocks(x: Array, axis: int) -> Array:
    """The rows of points, which lie along `axis`, cut into blocks along a new first axis."""
    rows = x.shape[axis]
    blocks = max(d for d in range(1, 17) if rows % d == 0)
    return jnp.moveaxis(x.reshape(*x.shape[:axis], blocks, rows // blocks, *x.shape[axis + 1 :]), axis, 0)


def _corners(
    image: Array, rows: Array, columns: Array, method: SampleMethod, outside: bool
) -> tuple[list[Array], list[Array]]:
    """The pixels that each point reads: their weights, zero outside the image, and their places in the h*w plane.

    The place of what lies outside is h*w, or the border where no point lies there.
    """
    if method == "nearest":
        corners = [(jnp.round(rows), jnp.round(columns), jnp.ones_like(rows))]
    else:
        top, left = jnp.floor(rows), jnp.floor(columns)
        below, right = rows - top, columns - left
        corners = [
            (top, left, (1 - below) * (1 - right)),
            (top, left + 1, (1 - below) * right),
            (top + 1, left, below * (1 - right)),
            (top + 1, left + 1, below * right),
        ]
    h, w, _ = image.shape
    weights, indices = [], []
    for row, column, weight in corners:
        beyond = (row < 0) | (row > h - 1) | (column < 0) | (column > w - 1)  # which NaN is not, and stays NaN
        weights.append(jnp.where(beyond, 0, weight).astype(image.dtype))
        row, column = (jnp.clip(v, 0, end - 1).astype(jnp.int32) for v, end in ((row, h), (column, w)))
        place = row * w + column
        indices.append(jnp.where(beyond, h * w, place) if outside else place)
    return weights, indices


def _take_rows(table: Float[Array, "p c"], index: Int[Array, " *points"]) -> Float[Array, "*points c"]:
    return jnp.take(table, index, axis=0, mode="clip")


def _add_rows(
    table: Float[Array, "p c"], rows: Float[Array, "*points c"], index: Int[Array, " *points"]
) -> Float[Array, "p c"]:
    """The transpose of `_take_rows`: each row added to the place that its index names.

    A scatter, which on a GPU adds in whatever order its threads arrive: there the rows are sorted and summed instead.
    """
    if 0 in index.shape:  # of which there is no first one to begin a scan with
        return table
    return lax.platform_dependent(
        table,
        rows.reshape(-1, rows.shape[-1]),
        index.ravel(),
        default=_add_by_scatter,
        cuda=_add_by_sorting,
        rocm=_add_by_sorting,
    )


def _add_by_scatter(table: Array, rows: Array, index: Array) -> Array:
    return table.at[index].add(rows, mode="promise_in_bounds")


def _add_by_sorting(table: Array, rows: Array, index: Array) -> Array:
    """Bring the rows of a place together and sum them by a scan that starts again at each new place."""
    order = jnp.argsort(index)
    rows, index = rows[order], index[order]
    starts = jnp.concatenate([jnp.ones(1, bool), index[1:] != index[:-1]])

    def add(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
        return before[0] | after[0], jnp.where(after[0], after[1], before[1] + after[1])

    _, totals = lax.associative_scan(add, (starts[:, None], rows))
    places = jnp.arange(table.shape[0], dtype=index.dtype)
    last = jnp.searchsorted(index, places, side="right") - 1
    named = (last >= 0) & (index[last] == places)
    return table + jnp.where(named[:, None], totals[last], 0)
