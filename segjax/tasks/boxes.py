"""What the tasks that find objects, and nothing else, predict and write."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from flax import linen as nn

from segjax.data import Dataset
from segjax.data.formats.rasters import Raster
from segjax.drawing import draw_boxes, notes
from segjax.inference import (
    Found,
    Objects,
    Summary,
    Tells,
    Variables,
    VideoSummary,
    predict_box_files,
    predict_boxes,
    predict_boxes_of_each,
    predict_video,
    where_there_is_data,
)
from segjax.inference.video import Frame
from segjax.tasks.options import Options


class BoxPredictions:
    """The predictions of a model whose outputs have `detections(max_boxes)`, and nothing to write beside them."""

    def __init__(self, data: Dataset, *, size: tuple[int, int] | None, max_boxes: int) -> None:
        self._data, self._size, self._max_boxes = data, size, max_boxes

    @property
    def tells(self) -> Tells:
        """Objects."""
        objects = Objects(self._data.class_names, self._data.palette, self._data.attribute_names)
        return Tells(objects=objects, bands=self._data.images, size=self._size)

    def of_images(
        self, model: nn.Module, variables: Variables, images: Sequence[Raster], options: Options
    ) -> list[Found]:
        """The objects of each."""
        options.only("--score", why=f"images of a run on {self._data.name} are searched for boxes")
        pixels = [image.pixels for image in images]
        each = predict_boxes_of_each(
            model, variables, pixels, size=self._size, max_boxes=self._max_boxes, least=options.least
        )
        return [
            Found(objects=where_there_is_data(found, image.missing)) for image, found in zip(images, each, strict=True)
        ]

    def write_files(
        self, model: nn.Module, variables: Variables, paths: Sequence[Path], out: Path, options: Options
    ) -> Summary:
        """Images with their boxes, and all boxes in COCO's format."""
        options.only("--score", "--coco", why=f"a run on {self._data.name} finds boxes")
        return predict_box_files(
            model,
            variables,
            paths,
            out,
            class_names=self._data.class_names,
            palette=self._data.palette,
            attribute_names=self._data.attribute_names,
            size=self._size,
            max_boxes=self._max_boxes,
            least=options.least,
            bands=self._data.images,
            annotations=options.annotations,
        )

    def write_video(
        self, model: nn.Module, variables: Variables, video: Path, out: Path, options: Options
    ) -> VideoSummary:
        """Frames with their boxes, classes and scores."""
        options.only("--score", why=f"a run on {self._data.name} finds boxes, and a video shows them")
        data, variables = self._data, jax.device_put(variables)

        def located(frame: Frame) -> Frame:
            found = predict_boxes(
                model, variables, frame, size=self._size, max_boxes=self._max_boxes, least=options.least
            )
            return np.asarray(draw_boxes(frame, notes(found, data.class_names, data.attribute_names), data.palette))

        return predict_video(located, video, out)
