"""What is found in one image, and what all that can be found is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float32, UInt
from PIL import Image

from segjax.data.formats.bands import Bands
from segjax.drawing.palette import NOTHING, Palette, hexadecimal
from segjax.errors import InferenceError
from segjax.inference.outputs import indexed
from segjax.inference.prediction import Activation, most_probable
from segjax.mask_numbers import ignored_in, mask_type
from segjax.ops.boxes import Detections


class Found(NamedTuple):
    """What a model finds in one image; None where it does not look for such."""

    mask: UInt[np.ndarray, "h w *k"] | None = None
    """The class of every pixel or, of labels that may overlap, 1 where a pixel has each. Where there is no data, the
    greatest number of its type: 255 or, beyond 255 classes, 65535."""
    probabilities: Float32[np.ndarray, "h w k"] | None = None
    """Of every class; NaN where there is no data."""
    objects: Detections | None = None
    """Without the axis of images, best first."""


@dataclass(frozen=True)
class Labels:
    """What a model labels pixels with: classes of which each has one or, with a threshold for each, labels.

    Raises:
        InferenceError: fewer colours than classes, or more or fewer thresholds than labels.

    Examples:
        >>> labels = inference.Labels(("ground", "tree"), ((0, 0, 0), (0, 200, 0)))
        >>> labels.decided(np.array([[[0.2, 0.8], [0.7, 0.3]]], np.float32))[0].tolist()
        [[1, 0]]
    """

    class_names: Sequence[str]
    palette: Palette
    thresholds: Sequence[float] | None = None
    """Of the sigmoids of its logits: from which probability on a pixel has each label or, of two classes and one logit,
    the second class."""

    def __post_init__(self) -> None:
        _refuse_fewer_colours(self.class_names, self.palette)
        if self.overlap and len(self.thresholds or ()) != len(self.class_names):
            raise InferenceError(
                f"{len(self.thresholds or ())} thresholds are given for {len(self.class_names)} labels: give one for "
                "each, or a single one for two classes of one logit."
            )

    @property
    def one_logit(self) -> bool:
        """Whether one probability tells two classes."""
        return self.thresholds is not None and (len(self.thresholds), len(self.class_names)) == (1, 2)

    @property
    def overlap(self) -> bool:
        """Whether a pixel may have several."""
        return self.thresholds is not None and not self.one_logit

    @property
    def mask_type(self) -> np.dtype:
        """The type of its masks."""
        return np.dtype(np.uint8) if self.overlap else mask_type(len(self.class_names))

    @property
    def activation(self) -> Activation:
        """What makes probabilities of the model's logits."""
        return "softmax" if self.thresholds is None else "sigmoid"

    def decided(
        self, strip: Float32[np.ndarray, "rows w k"], missing: Bool[np.ndarray, "rows w"] | None = None
    ) -> tuple[UInt[np.ndarray, "rows w *k"], Float32[np.ndarray, "rows w classes"]]:
        """The mask that probabilities stand for, and those of every class, both without what has no data.

        Raises:
            InferenceError: more than 65535 classes, or more or fewer than have names.
        """
        if strip.shape[-1] != (1 if self.one_logit else len(self.class_names)):
            raise InferenceError(
                f"the model tells {strip.shape[-1]} classes, but class_names has {len(self.class_names)}: "
                "give the names that it was trained with."
            )
        if self.thresholds is None:
            mask = most_probable(strip)
        else:
            mask = (strip >= np.asarray(self.thresholds, np.float32)).astype(np.uint8)
        if self.one_logit:
            mask, strip = mask[..., 0], np.concatenate([1 - strip, strip], axis=-1)
        if missing is not None:
            mask[missing] = ignored_in(mask)
            strip = np.where(missing[..., None], np.float32(np.nan), strip)
        return mask, strip

    def images(self, mask: UInt[np.ndarray, "h w *k"]) -> list[Image.Image]:
        """The mask as an image whose pixels are the classes, of labels that may overlap one for each.

        It has a palette or, beyond 255 classes, 16 bits and none.
        """
        if not self.overlap:
            return [indexed(mask, self.palette)]
        bands = np.moveaxis(mask, 2, 0)
        return [
            indexed(np.ascontiguousarray(band), (NOTHING, colour))
            for band, colour in zip(bands, self.palette, strict=True)
        ]


@dataclass(frozen=True)
class Objects:
    """What a model calls the objects that it finds.

    Raises:
        InferenceError: fewer colours than classes.
    """

    class_names: Sequence[str]
    palette: Palette
    attribute_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        _refuse_fewer_colours(self.class_names, self.palette)

    def rows(self, found: Detections) -> list[dict[str, Any]]:
        """The objects of one image as JSON has them: class, box (x, y, w, h), score and attributes."""
        rows = []
        for i, box in enumerate(np.asarray(found.boxes, np.float64).tolist()):
            row: dict[str, Any] = {
                "class": self.class_names[int(found.labels[i])],
                "label": int(found.labels[i]),
                "box": [round(value, 2) for value in box],
                "score": round(float(found.scores[i]), 5),
            }
            if found.attributes is not None:
                scores = (round(float(score), 5) for score in found.attributes[i])
                row["attributes"] = dict(zip(self.attribute_names, scores, strict=True))
            rows.append(row)
        return rows


class Tells(NamedTuple):
    """What a task finds in an image, and what an image has to be."""

    labels: Labels | None = None
    """Of pixels, where it finds a mask."""
    objects: Objects | None = None
    """Where it finds boxes."""
    bands: Bands | None = None
    """What the images are read as; None takes them as they are stored, in RGB."""
    size: tuple[int, int] | None = None
    """Height and width that every image is fitted into, where the model sees one size alone."""

    def described(self) -> dict[str, Any]:
        """All of it as JSON has it."""
        pixels = objects = None
        if self.labels is not None:
            thresholds = None if self.labels.thresholds is None else [*map(float, self.labels.thresholds)]
            pixels = {"classes": _legend(self.labels), "overlap": self.labels.overlap, "thresholds": thresholds}
        if self.objects is not None:
            objects = {"classes": _legend(self.objects), "attributes": list(self.objects.attribute_names)}
        return {"pixels": pixels, "objects": objects, "fitted": self.size and list(self.size)}


def _refuse_fewer_colours(class_names: Sequence[str], palette: Palette) -> None:
    if len(palette) < len(class_names):
        raise InferenceError(f"palette has {len(palette)} colours for {len(class_names)} classes: give one for each.")


def _legend(told: Labels | Objects) -> list[dict[str, str]]:
    pairs = zip(told.class_names, told.palette, strict=True)
    return [{"name": name, "colour": hexadecimal(colour)} for name, colour in pairs]


def where_there_is_data(found: Detections, missing: Bool[np.ndarray, "h w"] | None) -> Detections:
    """The objects whose middle lies where the image has data.

    Examples:
        >>> boxes = np.array([[0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0]])
        >>> found = ops.boxes.Detections(boxes, np.array([0, 0]), np.array([0.9, 0.8]), np.array([[0.9], [0.8]]))
        >>> missing = np.array([[True, True, False, False]] * 2)
        >>> inference.where_there_is_data(found, missing).boxes.tolist()
        [[2.0, 0.0, 2.0, 2.0]]
    """
    if missing is None:
        return found
    boxes = np.asarray(found.boxes)
    column, row = (boxes[:, :2] + boxes[:, 2:] / 2).astype(int).T
    height, width = missing.shape
    there = ~missing[row.clip(0, height - 1), column.clip(0, width - 1)]
    return jax.tree.map(lambda values: np.asarray(values)[there], found)
