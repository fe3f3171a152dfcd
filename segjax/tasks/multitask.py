"""Several tasks at once: the mask, the box and the class of the one object of an image."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flax import linen as nn

from segjax.data import Dataset, Source
from segjax.drawing import draw_curves
from segjax.inference.prediction import Variables
from segjax.tasks.localization import CURVES, Localization, OneObject
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.task import Batch

_BACKGROUND = ("background", (40, 40, 40))


class MultiTask:
    """What `Localization` compares and scores, and the `mask` (n h w 1 + k) of the outputs as `Segmentation` does.

    The classes of the mask are the background and those of the data set.
    """

    headline = "localization_accuracy"

    def __init__(self, data: Dataset, size: tuple[int, int] | None = None) -> None:
        self.size = size
        """As in `Localization`."""
        name, colour = _BACKGROUND
        of_mask = dataclasses.replace(data, class_names=(name, *data.class_names), palette=(colour, *data.palette))
        self._localization, self._segmentation = Localization(data, size), Segmentation(of_mask)

    def targets(self, batch: Batch) -> OneObject:
        """The largest object of each image, and the mask."""
        return self._localization.targets(batch)

    def zero(self) -> tuple[Any, Any]:
        """Nothing counted yet."""
        return self._localization.zero(), self._segmentation.zero()

    def count(self, outputs: Any, batch: Batch) -> tuple[Any, Any]:
        """The counts of boxes and of pixels."""
        return self._localization.count(outputs, batch), self._segmentation.count(outputs.mask, batch)

    def summary(self, counts: tuple[Any, Any]) -> dict[str, float]:
        """Localization accuracy, mean IoU of boxes and mean IoU of pixels."""
        return self._localization.summary(counts[0]) | self._segmentation.summary(counts[1])

    measure = count

    def scores(self, measured: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        """The scores of both; `mean_iou` is of boxes, and `miou`, `mask_iou` and `dice` of pixels."""
        parts = list(measured)
        of_mask = self._segmentation.scores(part for _, part in parts)
        of_mask["mask_iou"] = of_mask.pop("iou")
        return self._localization.scores(part for part, _ in parts) | of_mask

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """The training loss, the accuracy, and the mean IoU of boxes and of masks."""
        draw_curves(folder, rows, CURVES | {"miou": "mean IoU of masks"})

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> None:
        """Boxes, as `Localization` draws them."""
        self._localization.draw_predictions(folder, model, variables, source)
