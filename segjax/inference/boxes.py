"""The objects in one image of any size."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float32, Num

from segjax import compiling
from segjax.data.padding import padded
from segjax.data.record import Record, Source
from segjax.errors import InferenceError
from segjax.inference.prediction import Variables, refuse_other_depth
from segjax.inference.together import of_batch, together
from segjax.mask_numbers import ignored_in
from segjax.memory import advice_where_it_runs_out
from segjax.ops import boxes
from segjax.ops.boxes import Detections


def predict_boxes(
    model: nn.Module,
    variables: Variables,
    image: Num[np.ndarray, "h w c"],
    *,
    size: tuple[int, int] | None = None,
    max_boxes: int = 100,
    least: float = 0.0,
) -> Detections:
    """The objects of one image, best first, as NumPy arrays without the axis of images, inside the image.

    Args:
        model: called as `model.apply(variables, images, train=False)`; what it returns has `detections(max_boxes)`.
        variables: what `model.apply` takes, as `segjax.load` gives them.
        image: one image as the model takes it, without the batch axis.
        size: height and width that the image is fitted into, its edge repeated where its aspect is another; None
            takes it whole. What comes of it is seen as `segjax.data.padding.padded` makes it, as when it is scored. A
            model of one object an image needs the size that it was trained with.
        max_boxes: how many objects at most.
        least: the score that they have at least.

    Raises:
        InferenceError: an image without three axes or without pixels, in other numbers or with another number of
            bands than the model was trained with, or a device without the memory for it.
    """
    return _predict(model, variables, [image], size, max_boxes, least, masked=False)[0][0]


def predict_boxes_and_mask(
    model: nn.Module,
    variables: Variables,
    image: Num[np.ndarray, "h w c"],
    *,
    size: tuple[int, int] | None = None,
    max_boxes: int = 1,
    least: float = 0.0,
) -> tuple[Detections, Float32[np.ndarray, "h w k"]]:
    """What `predict_boxes` gives, and the class probabilities of every pixel from the same pass.

    The model's outputs have a `mask` too, logits (n h w k) of every pixel that it sees; they are resized to the image.
    Arguments and errors are those of `predict_boxes`.
    """
    found, logits = _predict(model, variables, [image], size, max_boxes, least, masked=True)[0]
    return found, np.asarray(jax.nn.softmax(logits))


def predict_boxes_of_each(
    model: nn.Module,
    variables: Variables,
    images: Sequence[Num[np.ndarray, "h w c"]],
    *,
    size: tuple[int, int] | None = None,
    max_boxes: int = 100,
    least: float = 0.0,
) -> list[Detections]:
    """What `predict_boxes` gives of each of several images; those that are seen in one size go in one pass."""
    return [found for found, _ in _predict(model, variables, images, size, max_boxes, least, masked=False)]


def predict_boxes_and_mask_of_each(
    model: nn.Module,
    variables: Variables,
    images: Sequence[Num[np.ndarray, "h w c"]],
    *,
    size: tuple[int, int] | None = None,
    max_boxes: int = 1,
    least: float = 0.0,
) -> list[tuple[Detections, Float32[np.ndarray, "h w k"]]]:
    """What `predict_boxes_and_mask` gives of each of several images; those seen in one size go in one pass."""
    each = _predict(model, variables, images, size, max_boxes, least, masked=True)
    return [(found, np.asarray(jax.nn.softmax(logits))) for found, logits in each]


def _predict(
    model: nn.Module,
    variables: Variables,
    images: Sequence[np.ndarray],
    size: tuple[int, int] | None,
    max_boxes: int,
    least: float,
    *,
    masked: bool,
) -> list[tuple[Detections, Any]]:
    fits, seen = [], []
    for image in map(np.asarray, images):
        if image.ndim != 3 or not image.size:
            raise InferenceError(f"predict_boxes takes one image (h, w, c) with pixels in it, but got {image.shape}.")
        refuse_other_depth(model, image)
        own = image.shape[:2]
        fits.append(boxes.letterbox(own, size or own))
        seen.append(padded(image if size is None else _fit(image, fits[-1])))
    results: list[Any] = [None] * len(seen)
    for batch in together(pixels.shape for pixels in seen):
        pixels = np.stack([seen[number] for number in batch])
        found, masks = _of_batch(model, variables, pixels, max_boxes, masked)
        for place, number in enumerate(batch):
            one, fitted = jax.tree.map(lambda values, place=place: values[place], found), fits[number]
            own = fitted.input_size
            one = one._replace(boxes=np.asarray(boxes.clip(fitted.boxes_back(one.boxes), own)))
            chosen = (one.labels >= 0) & (one.scores >= least) & (one.boxes[:, 2:] > 0).all(-1)
            mask = None
            if masks is not None:
                rows, columns = fitted.output_size
                mask = masks[place, :rows, :columns].astype(jnp.float32)
                mask = mask if size is None else fitted.image_back(mask[None])[0]
            results[number] = jax.tree.map(lambda values, chosen=chosen: values[chosen], one), mask
    return results


def _of_batch(
    model: nn.Module, variables: Variables, images: np.ndarray, max_boxes: int, masked: bool
) -> tuple[Detections, Any]:
    """The objects of images of one size as NumPy arrays, and the logits of their pixels."""
    height, width = images.shape[1:3]
    too_many = f"{height}x{width} pixels at once are too many for the device's memory: make the image smaller."
    with advice_where_it_runs_out(InferenceError, too_many):
        found, masks = _compiled(model, images.shape, max_boxes, masked)(variables, images)
        return jax.device_get(found), masks


@dataclass(frozen=True)
class FittedSource:
    """Records whose images are fitted into `size` (height, width) as `predict_boxes` does it, with what is on them."""

    source: Source
    size: tuple[int, int]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        """The record of that number, what is ignored around its mask.

        Raises:
            DataError: it cannot be read.
        """
        record = self.source[index]
        fitted = boxes.letterbox(record["image"].shape[:2], self.size)
        changed: Record = {**record, "image": _fit(record["image"], fitted)}
        if "boxes" in record:
            changed["boxes"] = np.asarray(fitted.boxes(record["boxes"]))
        if "mask" in record:
            (height, width), (top, left) = fitted.inner_size, fitted.corner
            changed["mask"] = np.full(self.size, ignored_in(record["mask"]), record["mask"].dtype)
            inner = cv2.resize(record["mask"], (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            changed["mask"][top : top + height, left : left + width] = inner
        return changed


def _fit(image: np.ndarray, fitted: boxes.Letterbox) -> np.ndarray:
    """As `Letterbox.image` does it, but averaging where the image shrinks, and its edge repeated around it."""
    if fitted.inner_size == fitted.output_size == fitted.input_size:
        return image
    (height, width), (top, left) = fitted.inner_size, fitted.corner
    bottom, right = fitted.output_size[0] - top - height, fitted.output_size[1] - left - width
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    # OpenCV averages up to four bands at once, and refuses more.
    parts = [image[..., first : first + 4] for first in range(0, image.shape[2], 4)]
    resized = np.dstack([cv2.resize(part, (width, height), interpolation=how) for part in parts])
    seen = cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return seen.reshape(*fitted.output_size, -1)


@functools.lru_cache(maxsize=64)  # and not jit's own cache, in which a folder of images of all sizes would pile up
def _compiled(
    model: nn.Module, shape: tuple[int, ...], max_boxes: int, masked: bool
) -> Callable[[Variables, np.ndarray], tuple[Detections, Any]]:
    del shape

    def read(variables: Variables, images: Any) -> tuple[Detections, Any]:
        outputs: Any = model.apply(variables, images, train=False)
        return outputs.detections(max_boxes), outputs.mask if masked else None

    return compiling.jit(lambda variables, images: of_batch(functools.partial(read, variables), images))
