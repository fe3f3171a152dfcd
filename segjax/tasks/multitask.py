"""Several tasks at once: the mask, the box and the class of the one object of an image."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from segjax.data import Dataset, Source
from segjax.data.formats.classes import BACKGROUND, BACKGROUND_COLOUR
from segjax.data.formats.rasters import Raster
from segjax.drawing import draw_boxes, draw_curves, notes, tint
from segjax.inference import (
    BoxResults,
    Found,
    Labels,
    MaskResults,
    Objects,
    Summary,
    Tells,
    Variables,
    VideoSummary,
    for_each_image,
    predict_boxes_and_mask,
    predict_boxes_and_mask_of_each,
    predict_video,
    where_there_is_data,
)
from segjax.inference.files import Opened
from segjax.inference.prediction import most_probable
from segjax.inference.video import Frame, seen
from segjax.tasks.examined import Examined
from segjax.tasks.localization import CURVES, Localization, OneObject
from segjax.tasks.options import Options
from segjax.tasks.segmentation import Segmentation
from segjax.tasks.task import Batch


class MultiTask:
    """What `Localization` compares and scores, and the `mask` (n h w 1 + k) of the outputs as `Segmentation` does.

    The classes of the mask are the background and those of the data set. `size` is that of `Localization`.

    Examples:
        >>> data_set = data.Dataset("mine", ("ground", "tree"), ((0, 0, 0), (0, 255, 0)), open=lambda split: [])
        >>> tasks.MultiTask(data_set).headline
        'localization_accuracy'
    """

    headline = "localization_accuracy"

    def __init__(self, data: Dataset, size: tuple[int, int] | None = None) -> None:
        names, palette = (BACKGROUND, *data.class_names), (BACKGROUND_COLOUR, *data.palette)
        of_mask = dataclasses.replace(data, class_names=names, palette=palette)
        self.predictions: _Predictions = _Predictions(data, Labels(names, palette), size)
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

    def seen(self, source: Source) -> Source:
        """The records as `Localization` sees them."""
        return self._localization.seen(source)

    measure = count

    def scores(self, measured: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
        """The scores of both; `mean_iou` is of boxes, and `miou`, `mask_iou` and `dice` of pixels."""
        parts = list(measured)
        of_mask = self._segmentation.scores(part for _, part in parts)
        of_mask["mask_iou"] = of_mask.pop("iou")
        return self._localization.scores(part for part, _ in parts) | of_mask

    def decided(self, scores: Mapping[str, Any]) -> "MultiTask":
        """Itself: nothing is chosen."""
        del scores
        return self

    def draw_curves(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        """The training loss, the accuracy, and the mean IoU of boxes and of masks."""
        draw_curves(folder, rows, CURVES | {"miou": "mean IoU of masks"})

    def draw_predictions(self, folder: Path, model: nn.Module, variables: Variables, source: Source) -> Examined:
        """Boxes, as `Localization` draws them."""
        return self._localization.draw_predictions(folder, model, variables, source)


class _Predictions:
    """The mask and the box of one object, of one pass of a model."""

    def __init__(self, data: Dataset, labels: Labels, size: tuple[int, int] | None) -> None:
        self._data, self._labels, self._size = data, labels, size
        self._objects = Objects(data.class_names, data.palette)

    @property
    def tells(self) -> Tells:
        """A mask, and the box of one object."""
        return Tells(self._labels, self._objects, self._data.images, self._size)

    def of_images(
        self, model: nn.Module, variables: Variables, images: Sequence[Raster], options: Options
    ) -> list[Found]:
        """The box, mask and probabilities of each; takes `--score`."""
        options.only("--score", why=self._why)
        pixels = [image.pixels for image in images]
        each = predict_boxes_and_mask_of_each(model, variables, pixels, size=self._size, least=options.least)
        return [
            Found(*self._labels.decided(shares, image.missing), where_there_is_data(found, image.missing))
            for image, (found, shares) in zip(images, each, strict=True)
        ]

    def write_files(
        self, model: nn.Module, variables: Variables, paths: Sequence[Path], out: Path, options: Options
    ) -> Summary:
        """What `MaskResults` and `BoxResults` write, of one pass; takes `--score`, `--coco` and `--probabilities`."""
        options.only("--score", "--coco", "--probabilities", why=self._why)
        variables = jax.device_put(variables)
        masks = MaskResults(self._labels, options.probabilities)
        boxes = BoxResults(self._objects, options.annotations)

        def write(opened: Opened) -> Path:
            assert isinstance(opened.image, np.ndarray)  # windows were not asked for
            found, probabilities = predict_boxes_and_mask(
                model, variables, opened.image, size=self._size, least=options.least
            )
            boxes.write(opened, found)
            return masks.write(opened, [(0, probabilities)])

        endings, bands = [*masks.endings, *boxes.endings], self._data.images
        with boxes.of_all(out):
            return for_each_image(write, paths, out, endings, bands, refuse=boxes.refuse_unlisted)

    def write_video(
        self, model: nn.Module, variables: Variables, video: Path, out: Path, options: Options
    ) -> VideoSummary:
        """Frames tinted with their masks, boxes drawn over them; takes `--score`."""
        options.only("--score", why=self._why)
        variables = jax.device_put(variables)

        def drawn(frame: Frame) -> Frame:
            image = seen(frame, self._data.images, video)
            found, probabilities = predict_boxes_and_mask(model, variables, image, size=self._size, least=options.least)
            tinted = tint(frame, most_probable(probabilities), self._labels.palette)
            return np.asarray(draw_boxes(tinted, notes(found, self._data.class_names), self._data.palette))

        return predict_video(drawn, video, out)

    @property
    def _why(self) -> str:
        return f"a run on {self._data.name} finds the mask and the box of one object"
