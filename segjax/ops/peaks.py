"""Peaks of heatmaps, and what other maps hold there."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int32, Shaped

from segjax.ops.geometry import symbolic
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


class Peaks(NamedTuple):
    """The highest peaks of each image, best first; behind the last, label -1 and score 0 in cell (0, 0)."""

    scores: Float[Array, "n p"]
    """Sigmoid of the logits, in 0..1."""
    labels: Int32[Array, "n p"]
    rows: Int32[Array, "n p"]
    columns: Int32[Array, "n p"]


@on_any_mesh
def find_peaks(logits: Float[Array, "n h w k"], max_boxes: int) -> Peaks:
    """The `max_boxes` highest peaks over all classes: cells equal to the largest of the 3x3 cells around, per class.

    It stands for non-maximum suppression in CenterNet (Zhou et al. 2019). All cells of a plateau are peaks; NaN and
    -inf are none. No gradient passes. A batch split over devices is gathered, as XLA does not split a top-k.

    Raises:
        ValueError: where `logits` is not (n h w k) with at least one cell and class, or `max_boxes` is below 1.

    Examples:
        >>> heatmap = jnp.full((1, 3, 4, 2), -9.0).at[0, 1, 2, 1].set(3.0)
        >>> peaks = ops.find_peaks(heatmap, max_boxes=1)
        >>> peaks.rows.item(), peaks.columns.item(), peaks.labels.item()
        (1, 2, 1)
    """
    if logits.ndim != 4 or 0 in logits.shape[1:] or max_boxes < 1:
        raise ValueError(f"find_peaks needs (n h w k) and max_boxes of at least 1, got {logits.shape} and {max_boxes}.")
    n, height, width, num_classes = logits.shape
    logits = widen(lax.stop_gradient(logits))
    logits = jnp.where(jnp.isnan(logits), -jnp.inf, logits)  # or it would hide what is around it
    pooled = lax.reduce_window(logits, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")
    peaks = jnp.where(logits == pooled, logits, -jnp.inf).reshape(n, height * width * num_classes)
    # As many as asked for, also of fewer cells; how many a size has that is a symbol of `jax.export` nobody knows here.
    missing = max_boxes if symbolic(peaks.shape[1]) else max(max_boxes - peaks.shape[1], 0)
    peaks = jnp.pad(peaks, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    best, place = lax.top_k(peaks, max_boxes)
    found = best > -jnp.inf
    cell, label = jnp.divmod(jnp.where(found, place, 0), num_classes)
    return Peaks(jax.nn.sigmoid(best), jnp.where(found, label, -1), cell // width, cell % width)


@on_any_mesh
def values_at_peaks(peaks: Peaks, values: Shaped[Array, "n h w c"]) -> Shaped[Array, "n p c"]:
    """What `values` holds in the cell of each peak; cell (0, 0) where there is none.

    Raises:
        ValueError: where `values` is not (n h w c) of as many images.

    Examples:
        >>> heatmap = jnp.full((1, 3, 4, 2), -9.0).at[0, 1, 2, 1].set(3.0)
        >>> peaks = ops.find_peaks(heatmap, max_boxes=1)
        >>> ops.values_at_peaks(peaks, jnp.arange(12.0).reshape(1, 3, 4, 1)).item()
        6.0
    """
    if values.ndim != 4 or values.shape[0] != peaks.rows.shape[0]:
        raise ValueError(f"peaks of {peaks.rows.shape[0]} images need values (n h w c), got shape {values.shape}.")
    return jax.vmap(lambda values, row, column: values[row, column])(values, peaks.rows, peaks.columns)


@on_any_mesh
def boxes_at_peaks(
    peaks: Peaks, size: Float[Array, "n h w 2"], offset: Float[Array, "n h w 2"], *, stride: float
) -> Float[Array, "n p 4"]:
    """The box (x, y, w, h) in pixels of each peak, zeros where there is none: the inverse of `center_targets`.

    `size` and `offset` are in cells, each `stride` pixels high and wide; a size below 0 counts as 0.

    Raises:
        ValueError: where `size` and `offset` are not (n h w 2) of as many images.

    Examples:
        >>> boxes, labels = jnp.array([[[8.0, 4.0, 8.0, 8.0]]]), jnp.array([[0]])
        >>> targets = ops.center_targets(boxes, labels, size=(4, 6), stride=4, num_classes=2)
        >>> peaks = ops.find_peaks(targets.heatmap, max_boxes=1)
        >>> size = jnp.full((1, 4, 6, 2), 2.0)  # in cells
        >>> offset = jnp.full((1, 4, 6, 2), 0.5)
        >>> ops.boxes_at_peaks(peaks, size, offset, stride=4).tolist()  # 8 pixels around (14, 10)
        [[[10.0, 6.0, 8.0, 8.0]]]
    """
    if size.shape[-1:] != (2,) or size.shape != offset.shape:
        raise ValueError(
            f"size has shape {size.shape} and offset {offset.shape}: expected (n h w 2) twice, x and y of each cell."
        )
    extent, shift = jnp.maximum(widen(values_at_peaks(peaks, size)), 0), widen(values_at_peaks(peaks, offset))
    centre = jnp.stack([peaks.columns, peaks.rows], axis=-1).astype(shift.dtype) + shift
    boxes = jnp.concatenate([centre - extent / 2, extent], axis=-1) * stride
    return jnp.where((peaks.labels >= 0)[..., None], boxes, 0)


@on_any_mesh
def soft_argmax(logits: Float[Array, "n h w k"]) -> Float[Array, "n k 2"]:
    """The mean position (x, y) of each channel's softmax over the cells, in cells: the first cell's is (0.5, 0.5).

    In 0.5 to w - 0.5 and h - 0.5; times the stride it is in pixels of the image. Multiply the logits for a sharper peak
    (Levine et al. 2016; Luvizon et al. 2019).

    Raises:
        ValueError: where `logits` is not (n h w k) with at least one cell.

    Examples:
        >>> logits = jnp.zeros((1, 3, 4, 1)).at[0, 1, 2, 0].set(50.0)
        >>> ops.soft_argmax(logits).tolist()
        [[[2.5, 1.5]]]
    """
    if logits.ndim != 4 or 0 in logits.shape[1:3]:
        raise ValueError(f"soft_argmax needs (n h w k) with at least one cell, got shape {logits.shape}.")
    share = jax.nn.softmax(widen(logits), axis=(1, 2))
    # Sums, not products of matrices, which a GPU rounds.
    along_x, along_y = share.sum(1), share.sum(2)
    means = [
        jnp.sum(each * (jnp.arange(each.shape[1], dtype=each.dtype)[None, :, None] + 0.5), axis=1)
        for each in (along_x, along_y)
    ]
    return jnp.stack(means, axis=-1)
