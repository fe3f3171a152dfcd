"""The forms of a box, boxes cut to an image, and their areas."""

from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Real

from segjax.ops.meshes import on_any_mesh
from segjax.ops.precision import widen

Form = Literal["xywh", "xyxy", "cxcywh"]
"""Upper left corner and size; upper left and lower right corner; centre and size."""


def checked(boxes: Real[ArrayLike, "*n 4"]) -> Float[Array, "*n 4"]:
    """The boxes in float32 or wider.

    Raises:
        ValueError: where their last axis is not 4.
    """
    boxes = jnp.asarray(boxes)
    if boxes.shape[-1:] != (4,):
        raise ValueError(f"boxes have shape {boxes.shape}: expected (..., 4), four numbers a box.")
    return widen(boxes)


@on_any_mesh
def convert(boxes: Real[ArrayLike, "*n 4"], source: Form, target: Form) -> Float[Array, "*n 4"]:
    """Boxes of form `source` in the form `target`, as `torchvision.ops.box_convert`.

    Raises:
        ValueError: where the last axis is not 4 or a form is none of "xywh", "xyxy" and "cxcywh".

    Examples:
        >>> ops.boxes.convert(jnp.array([[1.0, 2.0, 3.0, 4.0]]), "xywh", "xyxy").tolist()
        [[1.0, 2.0, 4.0, 6.0]]
    """
    for form in (source, target):
        if form not in get_args(Form):
            raise ValueError(f"a form of boxes must be one of {', '.join(get_args(Form))}, got {form!r}.")
    boxes = checked(boxes)
    if source == target:
        return boxes
    first, second = boxes[..., :2], boxes[..., 2:]
    # By way of xywh, where a size is not rounded at a far corner.
    if source == "xyxy":
        second = second - first
    elif source == "cxcywh":
        first = first - second / 2
    if target == "xyxy":
        second = first + second
    elif target == "cxcywh":
        first = first + second / 2
    return jnp.concatenate([first, second], axis=-1)


@on_any_mesh
def clip(boxes: Real[ArrayLike, "*n 4"], size: tuple[ArrayLike, ArrayLike]) -> Float[Array, "*n 4"]:
    """What of each (x, y, w, h) lies inside an image of `size` (height, width); size 0 at its edge where nothing does.

    A box that is inside stays as it is to the last bit. Height and width may be arrays that broadcast over boxes.

    Raises:
        ValueError: where the last axis is not 4, or a size does not broadcast over the boxes.

    Examples:
        >>> ops.boxes.clip(jnp.array([[-2.0, 1.0, 5.0, 9.0]]), (8, 10)).tolist()  # into 8 rows and 10 columns
        [[0.0, 1.0, 3.0, 7.0]]
    """
    boxes = checked(boxes)
    corner, extent = boxes[..., :2], boxes[..., 2:]
    sides = [jnp.asarray(side, boxes.dtype) for side in reversed(size)]
    bounds = jnp.stack([jnp.broadcast_to(side, boxes.shape[:-1]) for side in sides], axis=-1)
    before = jnp.maximum(-corner, 0)
    after = jnp.maximum(corner + extent - bounds, 0)
    inside = jnp.maximum(extent - before - after, 0)
    return jnp.concatenate([jnp.clip(corner, 0, bounds), inside], axis=-1)


@on_any_mesh
def area(boxes: Real[ArrayLike, "*n 4"]) -> Float[Array, " *n"]:
    """Area of each (x, y, w, h) in square pixels.

    Raises:
        ValueError: where the last axis is not 4.

    Examples:
        >>> ops.boxes.area(jnp.array([[1.0, 2.0, 3.0, 4.0]])).tolist()
        [12.0]
    """
    width, height = jnp.moveaxis(sizes(checked(boxes)), -1, 0)
    return width * height


def sizes(boxes: Float[Array, "*n 4"]) -> Float[Array, "*n 2"]:
    """Width and height of each (x, y, w, h), 0 where negative; a size of 0 keeps its slope, so that it can grow."""
    return jnp.where(boxes[..., 2:] < 0, 0, boxes[..., 2:])
