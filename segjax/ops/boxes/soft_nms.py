"""Soft non-maximum suppression with an output of fixed size."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Real

from segjax.ops.boxes.nms import checked_candidates
from segjax.ops.boxes.overlap import iou
from segjax.ops.meshes import on_any_mesh

SoftNMS = Literal["gaussian", "linear"]


@on_any_mesh
def soft_nms(
    boxes: Real[ArrayLike, "m 4"],
    scores: Float[ArrayLike, " m"],
    *,
    max_boxes: int,
    labels: Int[ArrayLike, " m"] | None = None,
    method: SoftNMS = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.3,
) -> tuple[Int[Array, " {max_boxes}"], Float[Array, " {max_boxes}"]]:
    """Soft-NMS (Bodla et al. 2017): indices of the best boxes and their scores, lowered where better ones overlap them.

    The best box is taken, again and again, and what overlaps it by an IoU of o has its score multiplied: "gaussian" by
    exp(-o² / sigma), "linear" by 1 - o where o is `threshold` or more, both the paper's numbers by default. Scores are
    from 0 on and come out best first; behind the last box the index is -1 and the score 0. Of equal scores the first
    box goes first, and one of -inf or NaN is never taken. With `labels` only boxes of the same class lower each other,
    and a label below 0 is no box. As many steps as `max_boxes`, each linear in m. For a batch use `vmap`.

    Raises:
        ValueError: where the shapes do not match, `max_boxes` is below 1, `sigma` is not above 0, or there is no such
            method.

    Examples:
        >>> found = jnp.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 2.0], [8.0, 8.0, 2.0, 2.0]])
        >>> order, scores = ops.boxes.soft_nms(found, jnp.array([0.9, 0.8, 0.7]), max_boxes=3)
        >>> order.tolist(), [round(float(score), 3) for score in scores]
        ([0, 2, 1], [0.9, 0.7, 0.485])
    """
    if method not in ("gaussian", "linear"):
        raise ValueError(f"soft_nms has the methods gaussian and linear, not {method!r}.")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}: a Gaussian needs one above 0.")
    boxes, scores, labels = checked_candidates(boxes, scores, labels, max_boxes)
    if not boxes.shape[0]:
        return jnp.full(max_boxes, -1), jnp.zeros(max_boxes, scores.dtype)

    def take_best(scores: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        best = jnp.argmax(scores)
        overlap = iou(boxes[best], boxes)
        if method == "gaussian":
            factor = jnp.exp(-(overlap**2) / sigma)
        else:
            factor = jnp.where(overlap >= threshold, 1 - overlap, 1)
        there = scores > -jnp.inf
        # Of a box that is NaN nobody knows what it overlaps: it lowers nothing, as in `nms`, and its score stays.
        touched = there & (labels == labels[best]) & (overlap > 0)
        lowered = jnp.where(touched, scores * factor.astype(scores.dtype), scores)
        taken = jnp.where(there[best], best, -1), jnp.where(there[best], scores[best], 0)
        return lowered.at[best].set(-jnp.inf), taken

    return jax.lax.scan(take_best, scores, length=max_boxes)[1]
