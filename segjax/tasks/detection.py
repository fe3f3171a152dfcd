"""Detection as a task: a box, a class and scores for every object of an image."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from segjax import metrics
from segjax.data import Dataset, Record, Source
from segjax.drawing import draw_curves, notes
from segjax.inference import FittedSource, Variables, predict_boxes
from segjax.inference.box_files import LEAST
from segjax.metrics.averages import known_or_none
from segjax.ops import boxes
from segjax.tasks.attributes import attribute_counts, attribute_details, attribute_scores
from segjax.tasks.boxes import BoxPredictions
from segjax.tasks.examined import Examined
from segjax.tasks.examples import Shown, draw_box_predictions
from segjax.tasks.task import Batch, one_for_each

_WHOLE = ("ap50", "ap75", "ap", "ar", "ap_small", "ap_medium", "ap_large")
"""The scores of all classes together."""
_TOGETHER = 128
"""Boxes are compared in so many rows, or twice as many, and so on."""
_pairwise = jax.jit(boxes.pairwise)
_counted = jax.jit(attribute_counts)


class Objects(NamedTuple):
    """What is known of the objects of each image."""

    boxes: Float[Array, "n m 4"]
    """(x, y, w, h) in pixels."""
    labels: Int[Array, "n m"]
    """Their classes; -1 where there is no object."""
    crowd: Bool[Array, "n m"]
    """Which are neither trained on nor scored."""
    attributes: Float[Array, "n m a"] | None
    """In 0..1, NaN where nobody annotated one; None where records have none."""


class Detection:
    """What the `detections(max_boxes)` of a model's outputs are, against all boxes of each record, by COCO's scores.

    Where the data set has attributes, those found at each true box's best match of its class with an IoU of 0.5 or more
    are compared with its own: how well their scores are calibrated, their cross-entropy and, where there are several,
    how often the highest true one has the highest score. At most `max_boxes` of an image are predicted. Images are seen
    in their own size or, with `size` (height, width), fitted into that, in whose pixels their boxes are scored; what is
    predicted is in those of the image.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> tasks.Detection(data_set).headline
        'ap50'
    """

    headline = "ap50"

    def __init__(self, data: Dataset, max_boxes: int = 100, size: tuple[int, int] | None = None) -> None:
        self._data = data
        self._num_classes = len(data.class_names)
        self._max_boxes = max_boxes
        self._size = size
        self.predictions: BoxPredictions = BoxPredictions(data, size=size, max_boxes=max_boxes)

    def targets(self, batch: Batch) -> Objects:
        """All boxes of a batch."""
        return Objects(batch["boxes"], batch["labels"], batch["crowd"], batch.get("attributes"))

    def zero(self) -> dict[str, Any]:
        """Nothing: what COCO's scores rank is all boxes of a split."""
        return {}

    def count(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        """Nothing.

        Raises:
            ExperimentError: outputs that are detections of other classes than the data's.
        """
        del batch
        if hasattr(outputs, "detections"):  # some models return others while they are trained
            found = jax.eval_shape(lambda outputs: outputs.detections(self._max_boxes), outputs)
            one_for_each(found.class_scores, self._num_classes)
        return {}

    def summary(self, counts: dict[str, Any]) -> dict[str, float]:
        """Nothing."""
        del counts
        return {}

    def seen(self, source: Source) -> Source:
        """The records fitted into `size`, where there is one."""
        return source if self._size is None else FittedSource(source, self._size)

    def measure(self, outputs: Any, batch: Batch) -> dict[str, Any]:
        """The boxes found and the true ones."""
        found = _inside(outputs.detections(self._max_boxes), batch["size"])
        measured = {
            "boxes": found.boxes,
            "scores": found.scores,
            "labels": found.labels,
            "true_boxes": batch["boxes"],
            "true_labels": batch["labels"],
            "crowd": batch["crowd"],
            "valid": batch["valid"],
        }
        if found.attributes is not None and "attributes" in batch:
            measured["attributes"] = attribute_counts(found, batch)
        return measured

    def scores(self, measured: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """AP50, AP75, AP, AR, and AP by COCO's sizes over a split, and AP50 and AP of each class."""
        parts = list(measured)
        names = parts[0].keys() - {"attributes"}
        whole = {name: _of_all([part[name] for part in parts], -1 if "labels" in name else 0) for name in names}
        valid = whole.pop("valid")
        found = metrics.detection_scores(
            **{name: value[valid] for name, value in whole.items()},
            num_classes=self._num_classes,
            max_boxes=self._max_boxes,
        )
        scores: dict[str, Any] = {name: known_or_none(getattr(found, name)) for name in _WHOLE}
        for name in ("class_ap50", "class_ap", "class_f1", "class_threshold"):
            scores[name] = dict(zip(self._data.class_names, map(known_or_none, getattr(found, name)), strict=True))
        if "attributes" in parts[0]:
            scores |= attribute_scores([part["attributes"] for part in parts], self._data.attribute_names)
        return scores

    def decided(self, scores: Mapping[str, Any]) -> "Detection":
        """Itself: nothing is chosen."""
        del scores
        return self

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """The training loss, AP50 and AP."""
        draw_curves(folder, rows, {"ap50": "AP50", "ap": "AP"})

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> Examined:
        """Test records with their true and predicted boxes: some spread evenly, and those that are worst.

        Boxes are drawn from the operating threshold of their class on: the best by F1 over the records looked at.
        """
        variables = jax.device_put(variables)
        details: dict[str, Any] = {}

        def predict(records: list[Record]) -> list[Shown]:
            found = [
                predict_boxes(model, variables, r["image"], size=self._size, max_boxes=self._max_boxes) for r in records
            ]
            whole = self._scores_of(records, found)
            curves = zip(self._data.class_names, whole.class_precision, strict=True)
            details["precision"] = {name: curve.tolist() for name, curve in curves if not np.isnan(curve).any()}
            if self._data.attribute_names and all(one.attributes is not None for one in found):
                details.update(attribute_details(_counted(*_stacked(records, found)), self._data.attribute_names))
            least = np.where(np.isnan(whole.class_threshold), LEAST, whole.class_threshold)
            kept = [one._replace(labels=np.where(one.scores >= least[one.labels], one.labels, -1)) for one in found]
            alone = [self._scores_of([record], [one]) for record, one in zip(records, found, strict=True)]
            return [self._show(*each) for each in zip(records, kept, alone, strict=True)]

        examined = draw_box_predictions(folder, source, predict, self._data)
        return examined._replace(details=details)

    def _scores_of(self, records: list[Record], found: list[Any]) -> metrics.DetectionScores:
        """COCO's scores of what was found in some records."""
        one, true = _stacked(records, found)
        return metrics.detection_scores(
            one.boxes,
            one.scores,
            one.labels,
            true["boxes"],
            true["labels"],
            true["crowd"],
            num_classes=self._num_classes,
            max_boxes=self._max_boxes,
        )

    def _show(self, record: Record, found: Any, alone: metrics.DetectionScores) -> Shown:
        """A record with those of the boxes found that have a label, and the scores of it alone."""
        shown = found.labels >= 0
        crowd = record.get("crowd", np.zeros(len(record["boxes"]), bool))
        true = [record["boxes"][~crowd], record["labels"][~crowd]]
        overlap = _overlap(true[0], found.boxes[shown])
        alike = (overlap >= 0.5) & (true[1][:, None] == found.labels[shown])
        right = min(int(alike.any(1).sum()), int(alike.any(0).sum()))
        inside = _overlap(record["boxes"][crowd], found.boxes[shown]) > 0
        wrong = int((~alike.any(0) & ~inside.any(0)).sum())
        caption = f"{right} of {len(true[0])} found, {wrong} wrong"
        drawn = notes(found, self._data.class_names, self._data.attribute_names)
        scores = {name: known_or_none(getattr(alone, name)) for name in ("ap50", "ap")}
        return Shown(record, drawn, (right + 1) / (len(true[0]) + wrong + 1), caption, scores)


def _of_all(parts: list[np.ndarray], fill: float) -> np.ndarray:
    """What was measured of all images, (n m ...) or (n); a batch may have room for more boxes than others."""
    if parts[0].ndim == 1:
        return np.concatenate(parts)
    most = max(part.shape[1] for part in parts)
    edges = ([(0, 0), (0, most - part.shape[1]), *[(0, 0)] * (part.ndim - 2)] for part in parts)
    filled = (np.pad(part, edge, constant_values=fill) for part, edge in zip(parts, edges, strict=True))
    return np.concatenate([*filled])


def _stacked(records: list[Record], found: list[Any]) -> tuple[Any, dict[str, np.ndarray]]:
    """What was found in some records, and what is true of them, as a batch of all of them."""
    most = max(len(values) for r, one in zip(records, found, strict=True) for values in (r["boxes"], one.boxes))

    def stacked(each: Iterable[np.ndarray], fill: float) -> np.ndarray:
        rows = [(values, np.full((most - len(values), *values.shape[1:]), fill, values.dtype)) for values in each]
        return np.stack([np.concatenate(pair) for pair in rows])

    def crowd(record: Record) -> np.ndarray:
        return record.get("crowd", np.zeros(len(record["boxes"]), bool))

    true = {
        "boxes": stacked((r["boxes"] for r in records), 0),
        "labels": stacked((r["labels"] for r in records), -1),
        "crowd": stacked(map(crowd, records), 0),
    }
    if all("attributes" in r for r in records):
        true["attributes"] = stacked((r["attributes"] for r in records), np.nan)
    fills = {name: -1 if name == "labels" else 0 for name, one in found[0]._asdict().items() if one is not None}
    return found[0]._replace(**{n: stacked((getattr(o, n) for o in found), fill) for n, fill in fills.items()}), true


def _overlap(one: Float[np.ndarray, "n 4"], other: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, "n m"]:
    """The IoU of all pairs; boxes are filled up, or every image of other counts would wait for a program of its own."""
    filled = [np.pad(x, ((0, _TOGETHER * (len(x) // _TOGETHER + 1) - len(x)), (0, 0))) for x in (one, other)]
    return np.asarray(_pairwise(*filled))[: len(one), : len(other)]


def _inside(found: Any, size: Int[Array, "n 2"]) -> Any:
    """What is found within images of (height, width), as `predict_boxes` gives it: label -1 where nothing is."""
    within = boxes.clip(found.boxes, (size[:, None, 0], size[:, None, 1]))
    return found._replace(boxes=within, labels=jnp.where((within[..., 2:] > 0).all(-1), found.labels, -1))
