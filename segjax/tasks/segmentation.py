"""Segmentation as a task: a class for every pixel."""

import csv
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Int

from segjax import metrics
from segjax.data import Dataset, Source
from segjax.drawing import draw_curves
from segjax.inference import Variables
from segjax.metrics.averages import known_or_none
from segjax.tasks.examined import Examined
from segjax.tasks.mask_examples import IN_MATRIX, look_at_classes
from segjax.tasks.masks import MaskPredictions
from segjax.tasks.task import Batch, one_for_each

Counts = Int[Array, "k k"] | metrics.ClassSums
"""A confusion matrix or, of more classes than a byte holds, its sums."""


class Scores(TypedDict):
    """Scores over all counted pixels of a split, in 0..1; None where nothing is counted.

    A class that never occurs has neither IoU nor Dice.
    """

    miou: float | None
    iou: dict[str, float | None]
    dice: dict[str, float | None]
    pixel_accuracy: float | None


class Segmentation:
    """Logits (n h w k) against a mask (n h w); a model that returns several logits in training is scored by the first.

    What the mask ignores, 255 or beyond 255 classes 65535, is neither trained on nor scored. Beyond 255 classes there
    is no confusion matrix.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> tasks.Segmentation(data_set).headline
        'miou'
    """

    headline = "miou"

    def __init__(self, data: Dataset) -> None:
        self._data = data
        self._num_classes = len(data.class_names)
        self.predictions: MaskPredictions = MaskPredictions(data)

    def targets(self, batch: Batch) -> Int[Array, "n h w"]:
        """The mask."""
        return batch["mask"]

    def zero(self) -> Counts:
        """An empty confusion matrix."""
        if self._num_classes > IN_MATRIX:
            return metrics.ClassSums(*jnp.zeros((3, self._num_classes), jnp.int32))
        return jnp.zeros((self._num_classes, self._num_classes), jnp.int32)

    def count(self, outputs: Any, batch: Batch) -> Counts:
        """The confusion matrix of a batch.

        Raises:
            ExperimentError: other logits than one for each class.
        """
        logits = one_for_each(outputs[0] if isinstance(outputs, (tuple, list)) else outputs, self._num_classes)
        count = metrics.class_sums if self._num_classes > IN_MATRIX else metrics.confusion_matrix
        return count(logits.argmax(-1), batch["mask"], self._num_classes)

    def summary(self, counts: Counts) -> dict[str, float]:
        """The mean IoU."""
        return {"miou": float(metrics.mean_iou(counts))}

    def seen(self, source: Source) -> Source:
        """The records as they are."""
        return source

    measure = count

    def scores(self, measured: Iterable[Any]) -> dict[str, Any]:
        """Scores of a split; the counts are summed as int64, so any number of pixels is exact."""
        confusion = self._sum(measured)
        scores: Scores = {
            "miou": known_or_none(metrics.mean_iou(confusion)),
            "iou": self._by_class(metrics.iou(confusion)),
            "dice": self._by_class(metrics.dice(confusion)),
            "pixel_accuracy": known_or_none(metrics.pixel_accuracy(confusion)),
        }
        return dict(scores)

    def write_confusion(self, folder: Path, measured: Iterable[Any]) -> None:
        """Write confusion.csv: the pixels of every true class, a row, that are predicted as each class, a column.

        Of more than 255 classes there is none.
        """
        confusion = self._sum(measured)
        if isinstance(confusion, metrics.ClassSums):
            return
        with (folder / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["true class", *self._data.class_names])
            for name, row in zip(self._data.class_names, confusion.tolist(), strict=True):
                table.writerow([name, *row])

    def decided(self, scores: Mapping[str, Any]) -> "Segmentation":
        """Itself: nothing is chosen."""
        del scores
        return self

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """The training loss, the mIoU, and the IoU of every class."""
        colours = dict(zip(self._data.class_names, self._data.palette, strict=True))
        draw_curves(folder, rows, {"miou": "mean IoU"}, class_score=("iou", "IoU"), colours=colours)

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> Examined:
        """A few records: the image, the truth, the prediction, the error."""
        look = functools.partial(look_at_classes, count=self._num_classes)
        return self.predictions.draw(folder, model, variables, source, look, self.scores, self.headline)

    def _sum(self, measured: Iterable[Any]) -> Int[np.ndarray, "k k"] | metrics.ClassSums:
        total = jax.tree.map(lambda zero: np.zeros(zero.shape, np.int64), jax.eval_shape(self.zero))
        for part in measured:
            total = jax.tree.map(np.add, total, part)
        return total

    def _by_class(self, scores: Any) -> dict[str, float | None]:
        return dict(zip(self._data.class_names, map(known_or_none, np.asarray(scores)), strict=True))
