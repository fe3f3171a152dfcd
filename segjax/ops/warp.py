"""An image, a mask or boxes seen through an affine map, on the device."""

from typing import get_args

import jax.numpy as jnp
from jax import Array
from jaxtyping import ArrayLike, Bool, Float, Num, Real, Shaped

from segjax.ops.boxes.forms import checked
from segjax.ops.grid_sample import SampleMethod, read
from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import at_least_float32


@on_any_mesh
def warp(
    image: Shaped[Array, "h w c"],
    to_source: Float[Array, "2 3"],
    size: tuple[int, int],
    method: SampleMethod = "bilinear",
    *,
    outside: float | None = None,
) -> Shaped[Array, "height width c"]:
    """The image through a map from (x, y, 1) of the result to (x, y) of the image.

    Both are in pixels from the upper left corner: pixel (0, 0) is the unit square from (0, 0) to (1, 1), so its centre
    is at (0.5, 0.5). Integers are rounded to the nearest, halves to even. Linear interpolation takes no heed of pixels
    that are skipped: far below half the size it aliases. For a batch, `jax.vmap`.

    Args:
        image: Any dtype. All but float64 are computed in float32, so that integers keep 24 bits.
        to_source: The affine map.
        size: Height and width of the result.
        method: "nearest" for masks: the pixel that a point falls into.
        outside: What lies around the image; None for its nearest pixel.

    Raises:
        ValueError: where the image is not (h w c) with a pixel or the map not (2 3), there is no such method, or bools
            are not read by "nearest".

    Examples:
        >>> half_a_pixel_to_the_right = jnp.array([[1, 0, 0.5], [0, 1, 0]])
        >>> ops.warp(jnp.array([[[0], [100]]], jnp.uint8), half_a_pixel_to_the_right, (1, 2))[..., 0].tolist()
        [[50, 100]]
    """
    if image.ndim != 3 or 0 in image.shape[:2] or to_source.shape != (2, 3):
        raise ValueError(
            f"warp needs an image (h w c) with a pixel and a map (2 3), got shapes {image.shape} and "
            f"{to_source.shape}; for a batch use vmap."
        )
    if method not in get_args(SampleMethod):
        raise ValueError(f"warp method must be one of {', '.join(get_args(SampleMethod))}, got {method!r}.")
    wide = at_least_float32(image.dtype)
    across, down = jnp.meshgrid(jnp.arange(size[1], dtype=wide) + 0.5, jnp.arange(size[0], dtype=wide) + 0.5)
    columns, rows = (a * across + b * down + c for a, b, c in to_source.astype(wide))
    height, width = image.shape[:2]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    if method == "nearest":  # halves belong to one pixel here, where rounding a position would send them to even ones
        places = (jnp.floor(x).astype(jnp.int32).clip(0, end - 1) for x, end in ((rows, height), (columns, width)))
        moved = image[*places]
    else:
        clipped = ((x - 0.5).clip(0, end - 1) for x, end in ((rows, height), (columns, width)))
        moved = rounded_as(image, read(image.astype(wide), *clipped, method="bilinear"))
    return moved if outside is None else jnp.where(inside[..., None], moved, jnp.asarray(outside, image.dtype))


@on_any_mesh
def warp_boxes(
    boxes: Real[ArrayLike, "m 4"], to_source: Float[Array, "2 3"], size: tuple[int, int], least: float = 0.5
) -> tuple[Float[Array, "m 4"], Bool[Array, " m"]]:
    """The upright boxes (x, y, w, h) around the corners where `warp` moves them, clipped to the result; and which stay.

    A box stays where `least` of it is left in the result; another one is all zeros. `size` is that of the result,
    height and width. Boxes of any real type are moved in float32 or wider, and returned in it.

    Raises:
        ValueError: where the boxes are not (m 4) or the map not (2 3).

    Examples:
        >>> two_to_the_left = jnp.array([[1.0, 0, 2], [0, 1, 0]])
        >>> ops.warp_boxes(jnp.array([[3.0, 1, 2, 2], [0, 0, 2, 2]]), two_to_the_left, (8, 8))[0].tolist()
        [[1.0, 1.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0]]
    """
    boxes = checked(boxes)
    if boxes.ndim != 2 or to_source.shape != (2, 3):
        raise ValueError(
            f"warp_boxes needs boxes (m 4) and a map (2 3), got shapes {boxes.shape} and {to_source.shape}; for a "
            "batch use vmap."
        )
    low, extent = boxes[:, None, :2], boxes[:, None, 2:]
    corners = low + extent * jnp.array([[(0, 0), (1, 0), (0, 1), (1, 1)]], boxes.dtype)
    (a, b, shift_x), (c, d, shift_y) = to_source.astype(boxes.dtype)
    x, y = corners[..., 0] - shift_x, corners[..., 1] - shift_y
    moved = jnp.stack([d * x - b * y, a * y - c * x], axis=-1) / (a * d - b * c)
    low, high = moved.min(axis=1), moved.max(axis=1)
    bounds = jnp.array([[size[1], size[0]]], boxes.dtype)
    low_inside, high_inside = low.clip(0, bounds), high.clip(0, bounds)
    left, whole = (extent[:, 0] * extent[:, 1] for extent in (high_inside - low_inside, high - low))
    stays = (left > 0) & (left >= least * whole)
    return jnp.where(stays[:, None], jnp.concatenate([low_inside, high_inside - low_inside], axis=1), 0), stays


def rounded_as(image: Shaped[Array, "h w c"], values: Float[Array, "*shape"]) -> Num[Array, "*shape"]:
    """Values in the dtype of an image, rounded and clipped to its range where it is one of integers.

    Raises:
        ValueError: the image is of bools.
    """
    if jnp.issubdtype(image.dtype, jnp.floating):
        return values.astype(image.dtype)
    if image.dtype == bool:
        raise ValueError(
            "nothing lies between False and True: convert the image to uint8 or floating point, or take it as a mask, "
            'which `warp` reads with method="nearest".'
        )
    bounds = jnp.iinfo(image.dtype)
    return jnp.rint(values).clip(bounds.min, bounds.max).astype(image.dtype)
