"""Sub-pixel rearrangement: channels to space and back."""

from jax import Array
from jaxtyping import Shaped

from segjax.ops.meshes import on_any_mesh


@on_any_mesh
def pixel_shuffle(x: Shaped[Array, "n h w c"], factor: int) -> Shaped[Array, "n h*{factor} w*{factor} c//{factor}**2"]:
    """Move channels into space: `out[n, h*f + u, w*f + v, c] = x[n, h, w, (c*f + u)*f + v]`.

    The channel order is that of `torch.nn.functional.pixel_shuffle`, so converted weights need no permutation.

    Raises:
        ValueError: where `x` is not (n h w c), `factor` is below 1, or `factor**2` does not divide the channels.

    Reference: Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network".

    Examples:
        >>> ops.pixel_shuffle(jnp.arange(4.0).reshape(1, 1, 1, 4), 2)[0, :, :, 0].tolist()
        [[0.0, 1.0], [2.0, 3.0]]
    """
    if x.ndim != 4 or factor < 1 or x.shape[3] % factor**2:
        raise ValueError(
            f"pixel_shuffle by {factor} needs (n h w c) with c divisible by {factor}**2, got shape {x.shape}"
        )
    n, h, w, c = x.shape
    c //= factor**2
    phases = x.reshape(n, h, w, c, factor, factor)
    return phases.transpose(0, 1, 4, 2, 5, 3).reshape(n, h * factor, w * factor, c)


@on_any_mesh
def pixel_unshuffle(
    x: Shaped[Array, "n h w c"], factor: int
) -> Shaped[Array, "n h//{factor} w//{factor} c*{factor}**2"]:
    """Move space into channels, the inverse of `pixel_shuffle` and equal to `torch.nn.functional.pixel_unshuffle`.

    Raises:
        ValueError: where `x` is not (n h w c), `factor` is below 1, or `factor` does not divide height and width.

    Examples:
        >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
        >>> ops.pixel_unshuffle(x, 2).ravel().tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    if x.ndim != 4 or factor < 1 or x.shape[1] % factor or x.shape[2] % factor:
        raise ValueError(
            f"pixel_unshuffle by {factor} needs (n h w c) with h and w divisible by it, got shape {x.shape}"
        )
    n, h, w, c = x.shape
    h, w = h // factor, w // factor
    phases = x.reshape(n, h, factor, w, factor, c)
    return phases.transpose(0, 1, 3, 5, 2, 4).reshape(n, h, w, c * factor**2)
