"""FADE's convolution: one kernel over fine and coarse features, summed at the fine places."""

from jax import Array
from jaxtyping import Float

from segjax.ops.conv import conv
from segjax.ops.meshes import on_any_mesh
from segjax.ops.resize import resize


@on_any_mesh
def semi_shift_conv(
    x: Float[Array, "n h w c"], guide: Float[Array, "n fine_h fine_w c"], kernel: Float[Array, "kh kw c d"], factor: int
) -> Float[Array, "n fine_h fine_w d"]:
    """The same kernel convolved with a fine guide and with `x`, whose result every fine pixel of a coarse one takes.

    Over the guide the window moves by one fine pixel, over `x` by one for every `factor`, which is why the paper calls
    it semi-shift. The guide may lack the rows and columns that rounding up added: `x` has ceil(fine_h / factor) rows.
    Both are zero outside.

    The paper's predictor of kernels is a 1x1 convolution of each to 64 channels, that of `x` without bias, and this
    one, 3x3 to `k*k` with bias, k = 5; a 1x1 convolution of `x` gates what the guide adds: 64*(g + 1) + 64*c +
    9*64*k*k + k*k + c + 1 parameters for g channels of the guide, 47514 at g = c = 256.

    Any floating dtype.

    Raises:
        ValueError: where the shapes do not fit together, or one is not floating.

    Reference: Lu et al. 2022, "FADE: Fusing the Assets of Decoder and Encoder for Task-Agnostic Upsampling".

    Examples:
        >>> x, guide = jnp.array([10.0, 20.0]).reshape(1, 1, 2, 1), jnp.arange(3.0).reshape(1, 1, 3, 1)
        >>> ops.semi_shift_conv(x, guide, jnp.ones((1, 1, 1, 1)), 2).ravel().tolist()
        [10.0, 11.0, 22.0]
    """
    if x.ndim != 4 or guide.ndim != 4 or factor < 1 or kernel.ndim != 4 or 0 in x.shape[1:]:
        raise ValueError(
            f"semi_shift_conv by {factor} needs x, guide and kernel of 4 axes, with pixels, "
            f"got shapes {x.shape}, {guide.shape} and {kernel.shape}."
        )
    n, rows, columns, c = guide.shape
    expected = (n, -(-rows // factor), -(-columns // factor), c)
    if x.shape != expected or kernel.shape[2] != c:
        raise ValueError(
            f"semi_shift_conv by {factor} with a guide of shape {guide.shape} takes x of shape {expected} and a kernel "
            f"of {c} inputs, got {x.shape} and {kernel.shape}."
        )
    coarse = conv(x, kernel, "SAME")
    spread = resize(coarse, (x.shape[1] * factor, x.shape[2] * factor), "nearest")
    return conv(guide, kernel, "SAME") + spread[:, :rows, :columns]
