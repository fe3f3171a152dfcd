"""The objects in one image of any size."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Float32, Num

from segjax.data.padding import padded
from segjax.data.record import IGNORE, Record, Source
from segjax.errors import InferenceError
from segjax.inference.prediction import Variables, refuse_other_depth
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
            takes it whole, as `segjax.data.padding.padded` makes it. A model of one object an image needs the size
            that it was trained with.
        max_boxes: how many objects at most.
        least: the score that they have at least.

    Raises:
        InferenceError: an image without three axes or without pixels, in other numbers or with another number of
            bands than the model was trained with, or a device without the memory for it.
    """
    return _predict(model, variables, image, size, max_boxes, least, masked=False)[0]


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
    found, logits = _predict(model, variables, image, size, max_boxes, least, masked=True)
    return found, np.asarray(jax.nn.softmax(logits))


def _predict(
    model: nn.Module,
    variables: Variables,
    image: Num[np.ndarray, "h w c"],
    size: tuple[int, int] | None,
    max_boxes: int,
    least: float,
    *,
    masked: bool,
) -> tuple[Detections, Any]:
    image = np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise InferenceError(f"predict_boxes takes one image (h, w, c) with pixels in it, but got {image.shape}.")
    refuse_other_depth(model, image)
    own = image.shape[:2]
    fitted = boxes.letterbox(own, size or own)
    seen = padded(image) if size is None else _fit(image, fitted)
    try:
        found, mask = _compiled(model, seen.shape, max_boxes, masked)(variables, seen)
        found = jax.device_get(found)
        if mask is not None:
            mask = mask.astype(jnp.float32)
            mask = mask[: own[0], : own[1]] if size is None else fitted.image_back(mask[None])[0]
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise InferenceError(
            f"{own[0]}x{own[1]} pixels at once are too many for the device's memory: make the image smaller."
        ) from error
    found = found._replace(boxes=np.asarray(boxes.clip(fitted.boxes_back(found.boxes), own)))
    chosen = (found.labels >= 0) & (found.scores >= least) & (found.boxes[:, 2:] > 0).all(-1)
    return jax.tree.map(lambda values: values[chosen], found), mask


@dataclass(frozen=True)
class FittedSource:
    """Records whose images are fitted into `size` (height, width) as `predict_boxes` does it, with what is on them."""

    source: Source
    size: tuple[int, int]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        """The record of that number, 255 around its mask; raises `DataError` where it cannot be read."""
        record = self.source[index]
        fitted = boxes.letterbox(record["image"].shape[:2], self.size)
        changed: Record = {**record, "image": _fit(record["image"], fitted)}
        if "boxes" in record:
            changed["boxes"] = np.asarray(fitted.boxes(record["boxes"]))
        if "mask" in record:
            (height, width), (top, left) = fitted.inner_size, fitted.corner
            changed["mask"] = np.full(self.size, IGNORE, np.uint8)
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
    resized = cv2.resize(image, (width, height), interpolation=how)
    seen = cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return seen.reshape(*fitted.output_size, -1)


@functools.lru_cache(maxsize=64)  # and not jit's own cache, in which a folder of images of all sizes would pile up
def _compiled(
    model: nn.Module, shape: tuple[int, ...], max_boxes: int, masked: bool
) -> Callable[[Variables, np.ndarray], tuple[Detections, Any]]:
    del shape

    def read(variables: Variables, image: Any) -> tuple[Detections, Any]:
        outputs: Any = model.apply(variables, image[None], train=False)
        found = jax.tree.map(lambda values: values[0], outputs.detections(max_boxes))
        return found, outputs.mask[0] if masked else None

    return jax.jit(read)
