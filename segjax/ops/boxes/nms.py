"""Greedy non-maximum suppression with an output of fixed size."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Real

from segjax.ops.boxes.forms import checked
from segjax.ops.boxes.overlap import iou
from segjax.ops.meshes import on_any_mesh


@on_any_mesh
def nms(
    boxes: Real[ArrayLike, "m 4"],
    scores: Float[ArrayLike, " m"],
    *,
    max_boxes: int,
    labels: Int[ArrayLike, " m"] | None = None,
    threshold: Float[ArrayLike, ""] = 0.5,
) -> Int[Array, " {max_boxes}"]:
    """Indices of the boxes kept, best first, then -1: those that no better one kept overlaps by more than `threshold`.

    Overlap is IoU. Of equal scores the first box goes first; a score of -inf or NaN is never kept, so mask with -inf
    what should not be. With `labels` only boxes of the same class suppress each other, and a label below 0 is no box.
    At most `max_boxes` are kept: as many steps, each linear in m, and no m x m matrix. The indices are those of
    `torchvision.ops.nms`, and with labels of `batched_nms`. For a batch use `vmap`.

    Raises:
        ValueError: where the shapes do not match or `max_boxes` is below 1.

    Examples:
        >>> found = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.0], [8.0, 8.0, 2.0, 2.0]])
        >>> ops.boxes.nms(found, jnp.array([0.9, 0.8, 0.7]), max_boxes=3).tolist()  # -1 where there is none
        [0, 2, -1]
    """
    boxes, scores, labels = checked_candidates(boxes, scores, labels, max_boxes)
    if not boxes.shape[0]:
        return jnp.full(max_boxes, -1)

    def keep_best(scores: Array, _: None) -> tuple[Array, Array]:
        best = jnp.argmax(scores)
        beaten = (iou(boxes[best], boxes) > threshold) & (labels == labels[best])
        kept = jnp.where(scores[best] > -jnp.inf, best, -1)
        return jnp.where(beaten, -jnp.inf, scores).at[best].set(-jnp.inf), kept

    return jax.lax.scan(keep_best, scores, length=max_boxes)[1]


def checked_candidates(
    boxes: Real[ArrayLike, "m 4"],
    scores: Float[ArrayLike, " m"],
    labels: Int[ArrayLike, " m"] | None,
    max_boxes: int,
) -> tuple[Float[Array, "m 4"], Float[Array, " m"], Int[Array, " m"]]:
    """Boxes, scores and labels without gradients; the score is -inf where there is no box.

    Raises:
        ValueError: where the shapes do not match or `max_boxes` is below 1.
    """
    boxes, scores = checked(boxes), jnp.asarray(scores)
    labels = jnp.zeros(scores.shape, jnp.int32) if labels is None else jnp.asarray(labels)
    if boxes.ndim != 2 or not boxes.shape[:1] == scores.shape == labels.shape or max_boxes < 1:
        raise ValueError(
            f"boxes have shape {boxes.shape}, scores {scores.shape}, labels {labels.shape}, max_boxes is {max_boxes}: "
            "expected (m, 4), (m,), (m,) and at least 1; for a batch use vmap."
        )
    boxes, scores = jax.lax.stop_gradient((boxes, scores))
    return boxes, jnp.where((labels < 0) | jnp.isnan(scores), -jnp.inf, scores), labels
