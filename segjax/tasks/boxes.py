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
    refined,
    where_there_is_data,
)
from segjax.inference.box_files import COCO_FILE
from segjax.inference.box_list import BoxList
from segjax.inference.tracks import LEAST_TRACKED, Tracks
from segjax.inference.video import Frame, frame_rate, seen
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
        """The objects of each; takes `--score`, `--tta` and, of several objects, `--soft-nms`."""
        model = self._refined(
            model, options, "--score", why=f"images of a run on {self._data.name} are searched for boxes"
        )
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
        """Images with their boxes, and all boxes in COCO's format; takes what `of_images` does, and `--coco`."""
        model = self._refined(model, options, "--score", "--coco", why=f"a run on {self._data.name} finds boxes")
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
        """Frames with their boxes, classes, scores and tracks, and all boxes in COCO's format beside the video.

        Takes what `of_images` does, and `--track`.
        """
        why = f"a run on {self._data.name} finds boxes, and a video shows them"
        model = self._refined(model, options, "--score", "--track", why=why)
        data, variables = self._data, jax.device_put(variables)
        tracks = Tracks(frame_rate(video), options.least) if options.track else None
        least = min(options.least, LEAST_TRACKED) if tracks else options.least
        listed = BoxList(Objects(data.class_names, data.palette, data.attribute_names))

        def located(frame: Frame) -> Frame:
            image = seen(frame, data.images, video)
            found = predict_boxes(model, variables, image, size=self._size, max_boxes=self._max_boxes, least=least)
            numbers = None
            if tracks is not None:
                numbers = tracks.follow(found)
                kept = (numbers > 0) | (np.asarray(found.scores) >= options.least)
                found, numbers = jax.tree.map(lambda values: values[kept], (found, numbers))
            number = len(listed.images)
            listed.add(frame.shape[:2], found, numbers, file_name=video.name, frame_index=number)
            drawn = notes(found, data.class_names, data.attribute_names, tracks=numbers)
            return np.asarray(draw_boxes(frame, drawn, data.palette))

        summary = predict_video(located, video, out)
        listed.write(out.with_name(f"{out.stem}_{COCO_FILE}"))
        return summary

    def _refined(self, model: nn.Module, options: Options, *taken: str, why: str) -> nn.Module:
        """The model as the options have it look; refuses those that are not taken."""
        several = ("--soft-nms",) if self._max_boxes > 1 else ()  # a single box overlaps no other
        options.only(*taken, "--tta", *several, why=why)
        return refined(model, options.tiling.tta, options.soft_nms)
