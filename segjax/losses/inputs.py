"""What every loss does first with its logits and its mask."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def labels(logits: Float[Array, "n h w k"], mask: Int[Array, "n h w"], ignore: int) -> Int[Array, "n h w"]:
    """The mask as int32 with -1 wherever a pixel is not counted; raises ValueError where the shapes do not match."""
    mask = jnp.asarray(mask)
    if logits.ndim != 4 or mask.shape != logits.shape[:3]:
        raise ValueError(
            f"logits have shape {logits.shape} and the mask {mask.shape}: expected (n, h, w, classes) and (n, h, w) "
            "with the same n, h and w; resize the logits to the mask, or score them with upsampled_cross_entropy."
        )
    if not jnp.issubdtype(mask.dtype, jnp.integer):
        raise ValueError(f"the mask has dtype {mask.dtype}: expected an integer class for each pixel.")
    mask = mask.astype(jnp.int32)
    return jnp.where(mask == ignore, -1, mask)


def widen(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """`x` in float32, or in float64 if it is that already."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def matches(label: Int[Array, "n h w"], num_classes: int) -> Array:
    """Which class each pixel has, as a comparison that compiles into its consumer and is never an array of its own."""
    return label[..., None] == jnp.arange(num_classes)
