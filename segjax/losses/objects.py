"""Losses of whole objects, made of those of boxes, classes and heatmaps."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from segjax.losses.boxes import ciou_loss, l1_loss
from segjax.losses.heatmap import heatmap_focal
from segjax.losses.pixelwise import cross_entropy
from segjax.ops import CenterTargets
from segjax.ops.meshes import on_any_mesh


@on_any_mesh
def localization_loss(
    box: Float[Array, "n 4"],
    logits: Float[Array, "n k"],
    true_box: Float[Array, "n 4"],
    label: Integer[Array, " n"],
    *,
    class_weight: float = 1.0,
) -> Float[Array, ""]:
    """Complete IoU loss of one box an image, and `class_weight` times the cross-entropy of its class.

    Boxes are (x, y, w, h) in pixels; an image with a label below 0 has no object and adds nothing.

    Raises:
        ValueError: where the shapes do not match.

    Examples:
        >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0]])  # x, y, width, height
        >>> truth = jnp.array([[1.0, 0.0, 2.0, 2.0]])
        >>> logits = jnp.array([[2.0, 0.0]])
        >>> round(float(losses.localization_loss(boxes, logits, truth, jnp.array([0]))), 3)
        0.871
    """
    if logits.ndim != 2 or label.shape != logits.shape[:1]:
        raise ValueError(
            f"logits have shape {logits.shape} and the label {label.shape}: expected (n, classes) and (n,)."
        )
    of_class = cross_entropy(logits[:, None, None], label[:, None, None])
    return ciou_loss(box, true_box, label >= 0) + class_weight * of_class


@on_any_mesh
def center_loss(
    heatmap: Float[Array, "n h w k"],
    size: Float[Array, "n h w 2"],
    offset: Float[Array, "n h w 2"],
    targets: CenterTargets,
    *,
    size_weight: float = 0.1,
) -> Float[Array, ""]:
    """CenterNet's loss (Zhou et al. 2019): focal of the heatmap's logits, L1 of size and offset at the true centres.

    Sizes and offsets are in cells, as in `ops.center_targets`; the paper's L1 sums x and y, hence the factors of 2.

    Raises:
        ValueError: where the shapes do not match.

    Examples:
        >>> boxes, labels = jnp.array([[[8.0, 4.0, 8.0, 8.0]]]), jnp.array([[0]])
        >>> targets = ops.center_targets(boxes, labels, size=(4, 6), stride=4, num_classes=2)
        >>> heatmap = jnp.full((1, 4, 6, 2), -2.0)
        >>> zeros = jnp.zeros((1, 4, 6, 2))
        >>> round(float(losses.center_loss(heatmap, zeros, zeros, targets)), 2)
        2.13
    """
    there = targets.owner >= 0
    of_heatmap = heatmap_focal(heatmap, targets.heatmap, targets.counted)
    of_size, of_offset = (
        2 * l1_loss(found, true, there) for found, true in ((size, targets.size), (offset, targets.offset))
    )
    return jnp.asarray(of_heatmap + size_weight * of_size + of_offset)
