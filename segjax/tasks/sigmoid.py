"""Segmentation by sigmoids as a task: labels that may overlap, or one logit for two classes."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Int

from segjax import metrics
from segjax.data import Dataset, Source
from segjax.drawing import draw_curves
from segjax.errors import ExperimentError
from segjax.inference import Variables
from segjax.metrics.averages import known_or_none, mean
from segjax.metrics.labels import BINS
from segjax.tasks.examined import Examined
from segjax.tasks.mask_examples import look_at_labels
from segjax.tasks.masks import MaskPredictions
from segjax.tasks.task import Batch, one_for_each


class Scores(TypedDict):
    """Scores of a split in 0..1, where a pixel has a label from its threshold on; None where nothing can be divided.

    `iou`, `dice` (also called F1), `precision` and `recall` of a label are of all counted pixels of the split together,
    so that large objects weigh most; `miou` and `mdice` are their means over labels that are there or predicted.
    `image_iou` and `image_dice` are those of every image by itself, averaged over the images in which the label is
    there or predicted. `threshold` is the probability from which on a pixel has the label: of the validation split the
    one of the best Dice there, of every other split that of the validation split.
    """

    miou: float | None
    mdice: float | None
    iou: dict[str, float | None]
    dice: dict[str, float | None]
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    image_iou: dict[str, float | None]
    image_dice: dict[str, float | None]
    threshold: dict[str, float]


class SigmoidSegmentation:
    """Logits (n h w k), a sigmoid for each, against a mask (n h w k) of labels that may overlap.

    Of a data set of two classes, whose mask is (n h w), one logit (n h w 1) says where the second one is, and scores
    are of that alone. A model that returns several logits in training is scored by the first. The mask's 255 is neither
    trained on nor scored. Without `thresholds` they are chosen on what is scored, and `decided` keeps them.

    Raises:
        ExperimentError: classes that do not overlap, and are not two.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> tasks.SigmoidSegmentation(data_set).headline
        'miou'
    """

    headline = "miou"

    def __init__(self, data: Dataset, thresholds: Sequence[float] | None = None) -> None:
        if not data.multilabel and len(data.class_names) != 2:
            raise ExperimentError(
                f"{data.name} has {len(data.class_names)} classes of which every pixel has one: losses of a sigmoid "
                "are for two classes, or for labels that may overlap; take others, such as cross_entropy."
            )
        self._data, self._chosen = data, thresholds
        self._labels = data.class_names if data.multilabel else data.class_names[1:]
        self.predictions: MaskPredictions = MaskPredictions(data, self.thresholds)

    def targets(self, batch: Batch) -> Int[Array, "n h w *k"]:
        """The mask."""
        return batch["mask"]

    def zero(self) -> Int[Array, "k 64 2"]:
        """No pixel counted yet."""
        return jnp.zeros((len(self._labels), BINS, 2), jnp.int32)

    def count(self, outputs: Any, batch: Batch) -> Int[Array, "k 64 2"]:
        """Pixels of a batch by label, probability and truth."""
        return self.measure(outputs, batch).sum(0)

    def summary(self, counts: Int[Array, "k 64 2"]) -> dict[str, float]:
        """The mean IoU at probabilities of 0.5."""
        iou = metrics.label_scores(np.asarray(counts), np.full(len(self._labels), 0.5)).iou
        return {"miou": float(mean(iou))}

    def seen(self, source: Source) -> Source:
        """The records as they are."""
        return source

    def measure(self, outputs: Any, batch: Batch) -> Int[Array, "n k 64 2"]:
        """Pixels of every image by label, probability and truth.

        Raises:
            ExperimentError: other logits than one for each label.
        """
        logits = one_for_each(outputs[0] if isinstance(outputs, (tuple, list)) else outputs, len(self._labels))
        mask = batch["mask"]
        return metrics.label_counts(logits, mask if self._data.multilabel else mask[..., None])

    def scores(self, measured: Iterable[Int[np.ndarray, "n k 64 2"]]) -> dict[str, Any]:
        """Those of `Scores`."""
        images = np.concatenate(list(measured))
        counts = images.sum(axis=0, dtype=np.int64)
        thresholds = metrics.best_thresholds(counts) if self._chosen is None else np.array(self._chosen)
        whole, each = metrics.label_scores(counts, thresholds), metrics.label_scores(images, thresholds)
        scores: Scores = {
            "miou": known_or_none(mean(whole.iou)),
            "mdice": known_or_none(mean(whole.dice)),
            "iou": self._by_label(whole.iou),
            "dice": self._by_label(whole.dice),
            "precision": self._by_label(whole.precision),
            "recall": self._by_label(whole.recall),
            "image_iou": self._by_label([mean(of_label) for of_label in each.iou.T]),
            "image_dice": self._by_label([mean(of_label) for of_label in each.dice.T]),
            "threshold": dict(zip(self._labels, thresholds.tolist(), strict=True)),
        }
        return dict(scores)

    def decided(self, scores: Mapping[str, Any]) -> "SigmoidSegmentation":
        """With the thresholds that were chosen on the validation split."""
        return SigmoidSegmentation(self._data, [scores["threshold"][name] for name in self._labels])

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """The training loss, the mIoU, and the IoU of every label."""
        colours = dict(zip(self._labels, self._data.palette[-len(self._labels) :], strict=True))
        draw_curves(folder, rows, {"miou": "mean IoU"}, class_score=("iou", "IoU"), colours=colours)

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> Examined:
        """A few records: the image, the truth, the prediction, the error."""
        look = functools.partial(look_at_labels, thresholds=self.thresholds)
        return self.predictions.draw(folder, model, variables, source, look, self.scores, self.headline)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """From which probability on a pixel has each label: 0.5 where nothing was chosen."""
        return (0.5,) * len(self._labels) if self._chosen is None else tuple(self._chosen)

    def _by_label(self, scores: Any) -> dict[str, float | None]:
        return dict(zip(self._labels, map(known_or_none, scores), strict=True))
