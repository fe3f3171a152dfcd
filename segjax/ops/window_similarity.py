"""SAPA's kernels: how alike a fine pixel is to each coarse pixel around it."""

from jax import Array
from jaxtyping import Float

from segjax.ops.carafe import reassembly
from segjax.ops.meshes import on_any_mesh
from segjax.ops.multilinear import derivative
from segjax.ops.precision import at_least_float32, refuse_whole_numbers


@on_any_mesh
def window_similarity(
    queries: Float[Array, "n fine_h fine_w c"], keys: Float[Array, "n h w c"], *, window: int = 5
) -> Float[Array, "n fine_h fine_w {window}**2"]:
    """The inner product of each fine pixel's query with the keys of the coarse window around its place.

    With factor f, read from the shapes, `queries` are `(n, h*f, w*f, c)`. Entry (a, b) of fine pixel
    `(h*f + u, w*f + v)`, by rows, is its query times the key at `(h + a - window // 2, w + b - window // 2)`, and 0
    where that lies outside. It is the gradient of `carafe`'s kernels, and shares its forms: SAPA is
    `carafe(x, softmax(window_similarity(queries, keys)))`.

    The paper's queries are a linear map to 32 channels, with bias, of the layer-normalised guide, its keys another of
    the layer-normalised `x`: SAPA-B has 2*g + 2*c + 32*(g + 1) + 32*(c + 1) parameters for g channels of the guide,
    17472 at g = c = 256, and SAPA-I, without the maps, the norms' alone.

    Any floating dtype; float16 and bfloat16 are summed in float32.

    Raises:
        ValueError: where the shapes do not fit together, the window is even, or one of the two is not floating.

    Reference: Lu et al. 2022, "SAPA: Similarity-Aware Point Affiliation for Feature Upsampling".

    Examples:
        >>> keys = jnp.arange(1.0, 4.0).reshape(1, 1, 3, 1)
        >>> ops.window_similarity(jnp.full((1, 1, 3, 1), 2.0), keys, window=3)[0, 0, 0].tolist()  # of the first pixel
        [0.0, 0.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0]
    """
    if queries.ndim != 4 or keys.ndim != 4 or 0 in keys.shape[1:] or window % 2 == 0:
        raise ValueError(
            f"window_similarity needs queries and keys (n h w c) with a pixel and an odd window, got shapes "
            f"{queries.shape} and {keys.shape} and a window of {window}."
        )
    n, h, w, c = keys.shape
    factor = queries.shape[1] // h
    if factor < 1 or queries.shape != (n, h * factor, w * factor, c):
        raise ValueError(f"Keys of shape {keys.shape} need queries ({n} {h}*f {w}*f {c}), got {queries.shape}.")
    refuse_whole_numbers("window_similarity", queries=queries, keys=keys)
    wide = at_least_float32(keys.dtype)
    places, asked = keys[..., None, :].astype(wide), queries.reshape(n, h, factor, w, factor, 1, c).astype(wide)
    found = derivative(reassembly(places, factor, window), 1, places, asked)
    return found.reshape(n, h * factor, w * factor, window**2).astype(keys.dtype)
