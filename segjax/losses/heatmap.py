"""The loss of CenterNet's heatmaps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from segjax.losses.labels import all_or, per_counted
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen


@on_any_mesh
def heatmap_focal(
    logits: Float[Array, "n h w k"],
    heatmap: Float[Array, "n h w k"],
    counted: Bool[Array, "n h w k"] | None = None,
    *,
    alpha: float = 2.0,
    beta: float = 4.0,
) -> Float[Array, ""]:
    """Penalty-reduced focal loss of heatmaps (Law and Deng 2018; Zhou et al. 2019), divided by the number of objects.

    With p the sigmoid of a logit and y its target in 0..1: -(1 - p)^alpha log(p) where y is 1, the centre of an object,
    and -(1 - y)^beta p^alpha log(1 - p) elsewhere, summed over the batch; without an object it is not divided. Cells
    that are not `counted` (all are, unless said) add nothing. `ops.center_targets` makes heatmap and counted. Computed
    from the logits, where the papers' programs clip p to 1e-4..1 - 1e-4.

    Raises:
        ValueError: where shapes do not match, or `counted` is not boolean.

    Examples:
        >>> heatmap = jnp.zeros((1, 3, 3, 1)).at[0, 1, 1, 0].set(1.0)
        >>> round(float(losses.heatmap_focal(jnp.zeros((1, 3, 3, 1)), heatmap)), 3)
        1.56
    """
    logits, heatmap = jnp.asarray(logits), jnp.asarray(heatmap)
    counted = all_or(counted, logits.shape)
    if logits.ndim != 4 or not logits.shape == heatmap.shape == counted.shape:
        raise ValueError(
            f"logits have shape {logits.shape}, the heatmap {heatmap.shape} and counted {counted.shape}: "
            "expected (n, h, w, classes) for all."
        )
    logits, heatmap = jnp.where(counted, widen(logits), 0), jnp.where(counted, widen(heatmap), 0)
    log_yes, log_no = jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)
    centre = counted & (heatmap == 1)
    # Powers as exponentials: those of 0 have no slope.
    missed = -jnp.exp(alpha * log_no) * log_yes
    wrong = -jnp.exp(alpha * log_yes) * log_no * (1 - heatmap) ** beta
    total = jnp.sum(jnp.where(centre, missed, wrong), where=counted)
    return per_counted(total, centre.sum())
