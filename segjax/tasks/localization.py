"""Localization as a task: the box and the class of the one object of an image."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from segjax import metrics
from segjax.data import Dataset, Record, Source
from segjax.data.batch import empty, fill, room_for
from segjax.drawing import draw_curves, notes
from segjax.drawing.names import drawable
from segjax.inference import FittedSource, Variables
from segjax.metrics.averages import known_or_none
from segjax.ops import boxes
from segjax.tasks.boxes import BoxPredictions
from segjax.tasks.examined import Examined, calibration_bins
from segjax.tasks.examples import Shown, draw_box_predictions
from segjax.tasks.task import Batch, one_for_each

CURVES = {"localization_accuracy": "localization accuracy", "mean_iou": "mean IoU of boxes"}
"""The scores that are drawn, and what they are called."""


class OneObject(NamedTuple):
    """What is known of the one object of each image: of the largest, where there are several."""

    box: Float[Array, "n 4"]
    """(x, y, w, h) in pixels."""
    label: Int[Array, " n"]
    """Its class; -1 where there is no object."""
    mask: Int[Array, "n h w"] | None
    """The batch's mask, where it has one."""


class Localization:
    """The `box` (n 4) and the `logits` (n k) of a model's outputs against the largest box of each record.

    Crowds are no objects; an image without one is neither trained on nor scored. Where `size` (height, width) is given,
    images of any other are fitted into it before the model predicts them.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> tasks.Localization(data_set).headline
        'localization_accuracy'
    """

    headline = "localization_accuracy"

    def __init__(self, data: Dataset, size: tuple[int, int] | None = None) -> None:
        self._data = data
        self._num_classes = len(data.class_names)
        self._size = size
        self.predictions: BoxPredictions = BoxPredictions(data, size=size, max_boxes=1)

    def targets(self, batch: Batch) -> OneObject:
        """The largest object of each image."""
        found, labels = jnp.asarray(batch["boxes"]), jnp.asarray(batch["labels"])
        area = jnp.where((labels >= 0) & ~batch["crowd"], boxes.area(found), -1)
        largest = area.argmax(1)[:, None]
        label = jnp.where(area.max(1) >= 0, jnp.take_along_axis(labels, largest, 1)[:, 0], -1)
        box = jnp.take_along_axis(found, largest[..., None], 1)[:, 0]
        return OneObject(box, label, batch.get("mask"))

    def zero(self) -> Float[Array, "k 5"]:
        """No object counted yet."""
        return jnp.zeros((self._num_classes, 5), jnp.float32)

    def count(self, outputs: Any, batch: Batch) -> Float[Array, "k 5"]:
        """The counts of a batch, by class.

        Raises:
            ExperimentError: other logits than one for each class.
        """
        truth = self.targets(batch)
        label = one_for_each(outputs.logits, self._num_classes).argmax(-1)
        return metrics.localization_counts(_inside(outputs, batch), label, truth.box, truth.label, self._num_classes)

    def summary(self, counts: Float[Array, "k 5"]) -> dict[str, float]:
        """Localization accuracy and mean IoU."""
        scores = metrics.localization_scores(np.asarray(counts).sum(0))
        return {name: float(getattr(scores, name)) for name in ("localization_accuracy", "mean_iou")}

    def seen(self, source: Source) -> Source:
        """The records fitted into `size`, where there is one."""
        return source if self._size is None else FittedSource(source, self._size)

    measure = count

    def scores(self, measured: Iterable[Float[np.ndarray, "k 5"]]) -> dict[str, Any]:
        """All of `metrics.LocalizationScores` over a split, and accuracy and mean IoU of each class."""
        counts = np.zeros((self._num_classes, 5))
        for part in measured:
            counts += part
        whole, by_class = metrics.localization_scores(counts.sum(0)), metrics.localization_scores(counts)
        return {
            "localization_accuracy": known_or_none(whole.localization_accuracy),
            "mean_iou": known_or_none(whole.mean_iou),
            "box_accuracy": known_or_none(whole.box_accuracy),
            "class_accuracy": known_or_none(whole.class_accuracy),
            "accuracy": self._by_class(by_class.localization_accuracy),
            "iou": self._by_class(by_class.mean_iou),
        }

    def decided(self, scores: Mapping[str, Any]) -> "Localization":
        """Itself: nothing is chosen."""
        del scores
        return self

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """The training loss, the accuracy and the mean IoU."""
        draw_curves(folder, rows, CURVES)

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> Examined:
        """Test records with the true and the predicted box: the ones that are worst, and some spread evenly."""
        variables = jax.device_put(variables)
        apply = jax.jit(partial(model.apply, train=False))
        certain: list[tuple[float, bool]] = []  # how sure of the class, and whether it is right

        def predict(record: Record) -> Shown:
            record = self.seen([record])[0]
            room = max(1, len(record["boxes"]))  # a record without an object has a place for none
            batch = fill(empty(record, 1, room_for(record), room), [(0, record)])
            outputs: Any = apply(variables, batch["image"])
            truth = self.targets(batch)
            found = notes(jax.tree.map(lambda x: np.asarray(x)[0], outputs.detections()), self._data.class_names)
            if (true := int(truth.label[0])) < 0:  # it is not scored, and so not among the worst
                return Shown(record, found, 1, "no object", {"localization_accuracy": None, "mean_iou": None})
            overlap = float(boxes.iou(_inside(outputs, batch), truth.box)[0])
            right = int(outputs.logits[0].argmax()) == true
            certain.append((float(jax.nn.softmax(outputs.logits[0]).max()), right))
            caption = f"IoU {overlap:.2f}" + ("" if right else f", but {drawable(self._data.class_names)[true]}")
            scores = {"localization_accuracy": float(right and overlap >= 0.5), "mean_iou": overlap}
            return Shown(record, found, overlap * right, caption, scores)

        examined = draw_box_predictions(folder, source, lambda records: [*map(predict, records)], self._data)
        confidence, right = np.array(certain, np.float64).reshape(-1, 2).T
        return examined._replace(details={"calibration": calibration_bins(confidence, right > 0).tolist()})

    def _by_class(self, scores: Float[np.ndarray, " k"]) -> dict[str, float | None]:
        return dict(zip(self._data.class_names, map(known_or_none, scores), strict=True))


def _inside(outputs: Any, batch: Batch) -> Float[Array, "n 4"]:
    """The boxes found, within their images."""
    return boxes.clip(outputs.box, (batch["size"][:, 0], batch["size"][:, 1]))
