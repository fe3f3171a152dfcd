"""Class probabilities and masks of one image of any size, in bounded memory."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Num, UInt, UInt8

from segjax import compiling
from segjax.data.padding import padded, side_for
from segjax.errors import InferenceError, counted
from segjax.inference.receptive_field import receptive_radius
from segjax.inference.tiling import Span, Tiling, View, spans
from segjax.inference.together import of_batch, together
from segjax.inference.windowed import Windowed
from segjax.mask_numbers import MOST_CLASSES, mask_type
from segjax.memory import advice_where_it_runs_out

Variables = Mapping[str, Any]
Image = Num[np.ndarray, "h w c"] | Windowed
Activation = Literal["softmax", "sigmoid"]
"""What makes probabilities of logits: of classes of which a pixel has one, or of labels that may overlap."""


def predict(
    model: nn.Module,
    variables: Variables,
    image: Image,
    *,
    tiling: Tiling = Tiling(),
    activation: Activation = "softmax",
) -> Float[np.ndarray, "h w k"]:
    """Class probabilities of one image, float32; those of a softmax add up to one at every pixel.

    The model sees the image as `segjax.data.padding.padded` makes it, as it does when a split is scored, so that images
    of many sizes take few programs. An image larger than a tile is cut into overlapping tiles that are blended
    smoothly. The result equals that of one whole pass (within 1e-4) where `tiling.margin` is no less than the model's
    receptive radius, the model halves the image at most six times, and the image's size matters to it at the edges
    alone. A model that pools over the whole image, or attends to it, sees only its tile and cannot agree.

    Args:
        model: called as `model.apply(variables, images, train=False)`, giving logits (n h w k).
        variables: what `model.apply` takes, as `segjax.load` gives them.
        image: one image as the model takes it, without the batch axis.
        tiling: how it is cut into tiles, and in which views each of them is seen.
        activation: what makes probabilities of the model's logits.

    Raises:
        InferenceError: an image without three axes or without pixels, in other numbers or with another number of
            bands than the model was trained with, or with NaN; a tile too small for its margins, or a device without
            the memory for a tile.

    Examples:
        >>> model = models.FullResolutionCNN(3, widths=(2,))
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
        >>> inference.predict(model, variables, np.zeros((20, 30, 3), np.float32)).shape
        (20, 30, 3)
    """
    probabilities = np.empty((0,), np.float32)
    for row, strip in predict_strips(model, variables, image, tiling=tiling, activation=activation):
        if row == 0:
            probabilities = np.empty((*np.shape(image)[:2], strip.shape[-1]), np.float32)
        probabilities[row : row + len(strip)] = strip
    return probabilities


def predict_each(
    model: nn.Module,
    variables: Variables,
    images: Sequence[Num[np.ndarray, "h w c"]],
    *,
    activation: Activation = "softmax",
) -> list[Float[np.ndarray, "h w k"]]:
    """What `predict` gives of each of several images; those that are seen whole and in one size go in one pass.

    The numbers are those of one image at a time: on a CPU exactly, elsewhere but for how floating point rounds. Raises
    what `predict` raises.

    Examples:
        >>> model = models.FullResolutionCNN(3, widths=(2,))
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
        >>> images = [np.zeros(shape, np.float32) for shape in ((20, 30, 3), (16, 16, 3))]
        >>> [found.shape for found in inference.predict_each(model, variables, images)]
        [(20, 30, 3), (16, 16, 3)]
    """
    found: list[Any] = [None] * len(images)
    seen: dict[int, np.ndarray] = {}
    images = [_checked(model, image) for image in images]
    for number, image in enumerate(images):
        height, width = (side_for(length) for length in image.shape[:2])
        if max(height, width) > Tiling().side(height, width):
            found[number] = predict(model, variables, image, activation=activation)
        else:
            seen[number] = padded(image)
    numbers = [*seen]
    for batch in together(pixels.shape for pixels in seen.values()):
        pixels = np.stack([seen[numbers[place]] for place in batch])
        for place, probabilities in zip(batch, _of_batch(model, variables, pixels, activation), strict=True):
            height, width = images[numbers[place]].shape[:2]
            found[numbers[place]] = probabilities[:height, :width]
    return found


def predict_mask(
    model: nn.Module,
    variables: Variables,
    image: Image,
    *,
    tiling: Tiling = Tiling(),
) -> UInt[np.ndarray, "h w"]:
    """The most probable class of every pixel of one image; the arguments and errors are those of `predict`.

    uint8 or, beyond 255 classes, uint16. Probabilities only ever exist for a strip as high as a tile. Raises
    `InferenceError` for more than 65535 classes, too.

    Examples:
        >>> model = models.FullResolutionCNN(3, widths=(2,))
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
        >>> inference.predict_mask(model, variables, np.zeros((20, 30, 3), np.float32)).shape
        (20, 30)
    """
    mask = np.empty((0,), np.uint8)
    for row, strip in predict_strips(model, variables, image, tiling=tiling):
        classes = most_probable(strip)
        if row == 0:
            mask = np.empty(np.shape(image)[:2], classes.dtype)
        mask[row : row + len(strip)] = classes
    return mask


def predict_labels(
    model: nn.Module,
    variables: Variables,
    image: Image,
    thresholds: Sequence[float],
    *,
    tiling: Tiling = Tiling(),
) -> UInt8[np.ndarray, "h w k"]:
    """1 where the sigmoid of a label's logit is at its threshold or above, 0 elsewhere; as `predict` in all else.

    Raises:
        InferenceError: more or fewer thresholds than labels, or as `predict`.

    Examples:
        >>> model = models.FullResolutionCNN(3, widths=(2,))
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
        >>> inference.predict_labels(model, variables, np.zeros((20, 30, 3), np.float32), (0.5, 0.5, 0.5)).shape
        (20, 30, 3)
    """
    mask = np.empty((*np.shape(image)[:2], len(thresholds)), np.uint8)
    for row, strip in predict_strips(model, variables, image, tiling=tiling, activation="sigmoid"):
        if strip.shape[-1] != len(thresholds):
            found, wanted = len(thresholds), strip.shape[-1]
            raise InferenceError(
                f"{found} thresholds are given, but the model gives {wanted} labels: give one for each."
            )
        mask[row : row + len(strip)] = strip >= np.asarray(thresholds, np.float32)
    return mask


def predict_strips(
    model: nn.Module,
    variables: Variables,
    image: Image,
    *,
    tiling: Tiling = Tiling(),
    activation: Activation = "softmax",
) -> Iterator[tuple[int, Float[np.ndarray, "rows w k"]]]:
    """What `predict` gives, a strip of rows at a time from the top, each with the number of its first row.

    For whoever writes probabilities somewhere as they come, and never wants to hold them all. A strip is only valid
    until the next one is asked for.

    Raises:
        InferenceError: the image has not three axes, or no pixels.

    Examples:
        >>> model = models.FullResolutionCNN(3, widths=(2,))
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), train=False)
        >>> image = np.zeros((20, 30, 3), np.float32)
        >>> [(top, strip.shape) for top, strip in inference.predict_strips(model, variables, image)]
        [(0, (20, 30, 3))]
    """
    image = _checked(model, image)
    own_height, own_width, channels = image.shape
    height, width = side_for(own_height), side_for(own_width)
    views, tile = tiling.views(), tiling.side(height, width)
    margin = tiling.margin
    if max(height, width) <= tile:
        margin = 0  # one tile has no edges inside the image
    elif margin is None:
        radius = receptive_radius(model, channels) / min(view.scale for view in views)
        margin = min(math.ceil(radius), tile // 4)
    variables = jax.device_put(variables)
    rows, columns = spans(height, tile, margin), spans(width, tile, margin)
    sums = None  # from the first row that the current tiles have a say in
    for row, below in itertools.zip_longest(rows, rows[1:]):
        for column in columns:
            share = _tile(model, variables, image, row, column, views, activation)
            if sums is None:
                sums = np.zeros((max(len(row.weights) for row in rows), width, share.shape[-1]), np.float32)
            sums[: len(row.weights), column.first : column.first + len(column.weights)] += share
        assert sums is not None
        ready = len(row.weights) if below is None else below.first - row.first
        yield row.first, sums[: min(ready, own_height - row.first), :own_width]
        # What the tiles below add to moves to the top.
        begun = len(row.weights) - ready
        sums[:begun] = sums[ready : len(row.weights)]
        sums[begun:] = 0


def _checked(model: nn.Module, image: Any) -> Any:
    """The image as an array, or one that is read by windows, that the model takes."""
    image = image if isinstance(image, Windowed) else np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise InferenceError(f"predict takes one image (h, w, c) with pixels in it, but got shape {image.shape}.")
    refuse_other_depth(model, image)
    return image


def refuse_other_depth(model: nn.Module, image: Image) -> None:
    """Refuse an image that a model cannot normalise.

    Raises:
        InferenceError: it has other numbers or bands than those that trained, or NaN or infinity.
    """
    stored, mean = getattr(model, "stored", None), getattr(model, "mean", None)
    if stored is not None and image.dtype != stored:
        there = "" if isinstance(image, Windowed) else f" with values {image.min():g} to {image.max():g}"
        raise InferenceError(
            f"the model was trained on images of {stored}, and this one is of {image.dtype}{there}: give it as the "
            "images that trained are stored."
        )
    if mean is not None and image.shape[2] != len(mean):
        raise InferenceError(
            f"the model was trained on images of {counted(len(mean), 'band')}, and this one has {image.shape[2]}."
        )
    if not isinstance(image, Windowed) and image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InferenceError("the image has NaN or infinity, which would spread over the mask: fill these pixels.")


def most_probable(probabilities: Float[np.ndarray, "rows w k"]) -> UInt[np.ndarray, "rows w"]:
    """The class of the largest probability, the first of several.

    Raises:
        InferenceError: there are more than 65535 classes.
    """
    count = probabilities.shape[-1]
    if count > MOST_CLASSES:
        raise InferenceError(f"a mask holds at most {MOST_CLASSES} classes, but the model gives {count}.")
    return probabilities.argmax(-1).astype(mask_type(count))


def _tile(
    model: nn.Module,
    variables: Variables,
    image: Image,
    row: Span,
    column: Span,
    views: list[View],
    activation: Activation,
) -> Float[np.ndarray, "rows columns k"]:
    """The weighted share of one tile in the pixels that it has a say in, averaged over all views of it."""
    size = row.stop - row.start, column.stop - column.start
    pixels = padded(image[row.start : row.stop, column.start : column.stop], size)
    top, left = row.first - row.start, column.first - column.start
    weights = np.multiply.outer(row.weights, column.weights / len(views))[..., None]
    share = np.float32(0)
    for view in views:
        flipped = np.flip(pixels, view.flips)[None]
        probabilities = np.flip(_of_batch(model, variables, flipped, activation, view.scale)[0], view.flips)
        share += weights * probabilities[top : top + len(row.weights), left : left + len(column.weights)]
    return np.asarray(share)


def _of_batch(
    model: nn.Module,
    variables: Variables,
    images: Num[np.ndarray, "n h w c"],
    activation: Activation,
    scale: float = 1.0,
) -> Float[np.ndarray, "n h w k"]:
    """Probabilities of images as they look when scaled, brought back to their size."""
    height, width = images.shape[1:3]
    size = max(1, round(scale * height)), max(1, round(scale * width))
    too_many = f"{size[0]}x{size[1]} pixels at once are too many for the device's memory: take a smaller tile."
    with advice_where_it_runs_out(InferenceError, too_many):
        return np.asarray(_compiled(model, images.shape, size, activation)(variables, images))


@functools.lru_cache(maxsize=64)  # and not jit's own cache, in which a folder of images of all sizes would pile up
def _compiled(
    model: nn.Module, shape: tuple[int, ...], size: tuple[int, int], activation: Activation
) -> Callable[[Variables, Any], Float[Array, "n h w k"]]:
    own = shape[1:3]

    def resized(images: Num[Array, "n h w c"], size: tuple[int, ...]) -> Float[Array, "n h2 w2 c"]:
        return jax.image.resize(images.astype(jnp.float32), (len(images), *size, images.shape[-1]), "bilinear")

    def probabilities(variables: Variables, images: Num[Array, "n h w c"]) -> Float[Array, "n h w k"]:
        images = images if size == own else resized(images, size)
        logits: Any = model.apply(variables, images, train=False)
        result = getattr(jax.nn, activation)(logits.astype(jnp.float32))
        return result if size == own else resized(result, own)

    return compiling.jit(lambda variables, images: of_batch(functools.partial(probabilities, variables), images))
