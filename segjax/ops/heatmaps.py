"""Heatmaps of object centres, as CenterNet learns them (Zhou et al. 2019, "Objects as Points"): what a batch's are."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Float32, Int, Int32, Real

from segjax.ops.boxes.forms import checked
from segjax.ops.geometry import Pair, pair
from segjax.ops.meshes import on_any_mesh, varying_alike
from segjax.ops.precision import widen


class CenterTargets(NamedTuple):
    """What the outputs of a CenterNet are compared with; all lengths in cells of the heatmap."""

    heatmap: Float32[Array, "n h w k"]
    """For each class a Gaussian around every object, exactly 1 at its centre."""
    counted: Bool[Array, "n h w k"]
    """False inside a crowd of the class, unless an object's centre is there."""
    size: Float32[Array, "n h w 2"]
    """Width and height of the object whose centre is in this cell."""
    offset: Float32[Array, "n h w 2"]
    """From the cell's upper left corner to that centre, x and y in 0..1."""
    owner: Int32[Array, "n h w"]
    """Which of the image's boxes that object is, -1 where there is none: the smallest, where centres share a cell."""

    def attributes(self, attributes: Float[Array, "n m a"]) -> Float[Array, "n h w a"]:
        """The attributes of the object whose centre is in each cell, NaN (not annotated) where there is none."""
        return jax.vmap(_of_owner, in_axes=(0, 0, None))(attributes, self.owner, jnp.nan)


@on_any_mesh
def center_targets(
    boxes: Real[ArrayLike, "n m 4"],
    labels: Int[ArrayLike, "n m"],
    crowd: Bool[ArrayLike, "n m"] | None = None,
    *,
    size: int | Sequence[int],
    stride: float,
    num_classes: int,
    min_overlap: float = 0.3,
) -> CenterTargets:
    """Targets on a heatmap of `size` (height, width), each cell of which is `stride` pixels of the image high and wide.

    Boxes are (x, y, w, h) in pixels, and labels below 0 pad them. A Gaussian ends `gaussian_radius` cells from its
    centre, rounded down, and its standard deviation is a third of that plus a sixth, as CenterNet draws it. A box
    without area, with its centre outside the heatmap, or with a label of `num_classes` or more is no object. Made under
    jit, on the device, one object after the other, so that no more than the heatmap is in memory.

    Raises:
        ValueError: where the shapes do not match, or `stride` or `num_classes` is not above 0.

    Examples:
        >>> boxes, labels = jnp.array([[[8.0, 4.0, 8.0, 8.0]]]), jnp.array([[0]])
        >>> targets = ops.center_targets(boxes, labels, size=(4, 6), stride=4, num_classes=2)
        >>> targets.heatmap.shape
        (1, 4, 6, 2)
        >>> divmod(int(targets.heatmap[0, :, :, 0].argmax()), 6)  # row and column of the box's middle
        (2, 3)
    """
    boxes, labels = checked(boxes), jnp.asarray(labels)
    crowd = jnp.zeros(labels.shape, bool) if crowd is None else jnp.asarray(crowd)
    if boxes.ndim != 3 or not boxes.shape[:2] == labels.shape == crowd.shape or not boxes.shape[1]:
        raise ValueError(
            f"boxes have shape {boxes.shape}, labels {labels.shape} and crowd {crowd.shape}: "
            "expected (n, m, 4), (n, m) and (n, m) with m of at least 1; an image without boxes has labels of -1."
        )
    if not (stride > 0 and num_classes > 0):
        raise ValueError(f"stride and num_classes must be above 0, got {stride} and {num_classes}.")
    in_cells = lax.stop_gradient(boxes) / stride
    return _of_images(in_cells, labels, crowd, pair(size, "size"), num_classes, min_overlap)


@on_any_mesh
def gaussian_radius(
    width: Real[ArrayLike, " *n"], height: Real[ArrayLike, " *n"], min_overlap: float = 0.3
) -> Float[Array, " *n"]:
    """How far both corners of a box may move along each axis before its IoU can fall below `min_overlap`.

    The rule of CornerNet (Law and Deng 2018), solved: the smallest over both corners moved inwards, outwards, and the
    same way. The program published with the paper, and with CenterNet, divides two of the three solutions wrongly; what
    it calls 0.7 is about 0.3 here. In units of the sizes, of any real type, and in float32 or wider; `min_overlap` lies
    above 0 and below 1.

    Examples:
        >>> round(float(ops.gaussian_radius(jnp.array(20.0), jnp.array(20.0))), 2)
        4.52
    """
    width, height = (widen(jnp.asarray(each)) for each in (width, height))
    half, area = (width + height) / 2, width * height

    def between(part: Array) -> Array:
        """half - sqrt(half**2 - part), which would cancel where a box is long."""
        return part / jnp.maximum(half + jnp.sqrt(half**2 - part), jnp.finfo(half.dtype).tiny)

    one_way = between(area * (1 - min_overlap) / (1 + min_overlap))
    inwards = between(area * (1 - min_overlap)) / 2
    outwards = -between(area * (1 - 1 / min_overlap)) / 2
    return jnp.minimum(jnp.minimum(one_way, inwards), outwards)


@partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
@partial(jax.vmap, in_axes=(0, 0, 0, None, None, None))
def _of_images(
    boxes: Float[Array, "m 4"],
    labels: Int[Array, " m"],
    crowd: Bool[Array, " m"],
    size: Pair,
    num_classes: int,
    min_overlap: float,
) -> CenterTargets:
    corner, extent = boxes[:, :2], boxes[:, 2:]
    centre = corner + extent / 2
    cell = jnp.floor(centre)
    has_class = (labels >= 0) & (labels < num_classes) & jnp.all(extent > 0, axis=-1)
    is_object = has_class & ~crowd & jnp.all((cell >= 0) & (cell < jnp.array([size[::-1]], cell.dtype)), axis=-1)

    columns, rows = (jnp.arange(length, dtype=cell.dtype)[None] for length in reversed(size))
    radius = jnp.floor(gaussian_radius(extent[:, 0], extent[:, 1], min_overlap))[:, None]
    around = _gaussian(rows - cell[:, 1:], radius), _gaussian(columns - cell[:, :1], radius)
    heatmap = _paint(around, labels, is_object, num_classes)
    low, high = corner, corner + extent
    inside = _between(rows, low[:, 1:], high[:, 1:]), _between(columns, low[:, :1], high[:, :1])
    in_crowd = _paint(inside, labels, has_class & crowd, num_classes) > 0

    owner = _owners(cell, jnp.where(is_object, extent[:, 0] * extent[:, 1], jnp.inf), size)
    return CenterTargets(
        heatmap=heatmap,
        counted=~in_crowd | (heatmap == 1),
        size=_of_owner(extent, owner, 0),
        offset=_of_owner(centre - cell, owner, 0),
        owner=owner,
    )


def _gaussian(distance: Float[Array, "m length"], radius: Float[Array, "m 1"]) -> Float[Array, "m length"]:
    deviation = (2 * radius + 1) / 6
    return jnp.where(jnp.abs(distance) <= radius, jnp.exp(-(distance**2) / (2 * deviation**2)), 0)


def _between(
    cell: Float[Array, "1 length"], low: Float[Array, "m 1"], high: Float[Array, "m 1"]
) -> Float[Array, "m length"]:
    """1 where the middle of a cell lies from `low` to `high`, 0 elsewhere."""
    return ((low <= cell + 0.5) & (cell + 0.5 < high)).astype(low.dtype)


def _paint(
    profiles: tuple[Float[Array, "m h"], Float[Array, "m w"]],
    labels: Int[Array, " m"],
    painted: Bool[Array, " m"],
    num_classes: int,
) -> Float[Array, "h w {num_classes}"]:
    """For each class, in each cell, the largest product of both profiles over its boxes that are `painted`; at least 0.

    One box after the other: all at once would be m maps.
    """
    rows, columns = profiles
    rows = jnp.where(painted[:, None], rows, 0)

    def add(planes: Array, box: tuple[Array, Array, Array]) -> tuple[Array, None]:
        rows, columns, label = box
        return planes.at[label].max(rows[:, None] * columns[None]), None

    blank = jnp.zeros((num_classes, rows.shape[1], columns.shape[1]), rows.dtype)
    blank, _ = varying_alike(blank, rows)  # as what is added to it
    planes, _ = lax.scan(add, blank, (rows, columns, jnp.where(painted, labels, 0)))
    return planes.transpose(1, 2, 0)


def _owners(cell: Float[Array, "m 2"], area: Float[Array, " m"], size: Pair) -> Int32[Array, "h w"]:
    """For each cell the smallest box with its centre there, or -1; a box of infinite area has none."""
    largest_first = jnp.argsort(-area, stable=True).astype(jnp.int32)
    x, y = cell[largest_first].astype(jnp.int32).T
    row = jnp.where(jnp.isinf(area[largest_first]), size[0], y)
    rank = jnp.full(size, -1, jnp.int32).at[row, x].max(jnp.arange(area.shape[0], dtype=jnp.int32), mode="drop")
    return jnp.where(rank >= 0, largest_first[rank], -1)


def _of_owner(values: Float[Array, "m c"], owner: Int32[Array, "h w"], otherwise: float) -> Float[Array, "h w c"]:
    return jnp.where((owner >= 0)[..., None], values[owner], otherwise)
