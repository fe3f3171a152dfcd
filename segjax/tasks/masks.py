"""What the tasks that label pixels, and find nothing else, draw, predict and write."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import UInt

from segjax.data import Dataset, Source
from segjax.data.formats.rasters import Raster
from segjax.drawing import MaskExample, draw_mask_grid, tint
from segjax.drawing.figures import evenly
from segjax.inference import (
    Found,
    Labels,
    Summary,
    Tells,
    Tiling,
    Variables,
    VideoSummary,
    predict_each,
    predict_labels,
    predict_mask,
    predict_mask_files,
    predict_strips,
    predict_video,
)
from segjax.inference.video import Frame, seen
from segjax.tasks.examined import Examined
from segjax.tasks.mask_examples import Looking, examine_masks
from segjax.tasks.options import Options

_EXAMPLES = 6


class MaskPredictions:
    """The predictions of a model of logits: of the most probable class or, with `thresholds`, of the labels of each."""

    def __init__(self, data: Dataset, thresholds: Sequence[float] | None = None) -> None:
        self._data, self._thresholds = data, thresholds
        self._labels = Labels(data.class_names, data.palette, thresholds)

    @property
    def tells(self) -> Tells:
        """Labels of pixels."""
        return Tells(self._labels, bands=self._data.images)

    def of_images(
        self, model: nn.Module, variables: Variables, images: Sequence[Raster], options: Options
    ) -> list[Found]:
        """The mask and the probabilities of each."""
        options.only(why=f"images of a run on {self._data.name} are predicted as they are")
        pixels = [image.pixels for image in images]
        each = predict_each(model, variables, pixels, activation=self._labels.activation)
        return [Found(*self._labels.decided(one, image.missing)) for image, one in zip(images, each, strict=True)]

    def draw(
        self,
        folder: Path,
        model: nn.Module,
        variables: Variables,
        source: Source,
        look: Looking,
        scores: Callable[[Sequence[Any]], dict[str, Any]],
        headline: str,
    ) -> Examined:
        """A few records: the image, the truth, the prediction, the error; `look` and on as for `examine_masks`."""
        variables = jax.device_put(variables)
        examples = []
        for record in (source[i] for i in evenly(len(source), _EXAMPLES)):
            found = self._predict(model, variables, record["image"])
            examples.append(MaskExample(self._data.shown(record["image"]), record["mask"], found))
        draw_mask_grid(folder, examples, self._data.class_names, self._data.palette)
        predict = functools.partial(predict_strips, model, variables, activation=self._labels.activation)
        return examine_masks(source, self._data, predict, look, scores, headline)

    def write_files(
        self, model: nn.Module, variables: Variables, paths: Sequence[Path], out: Path, options: Options
    ) -> Summary:
        """Masks, of labels that may overlap one for each, and overlays.

        Takes `--tile`, `--margin`, `--tta` and `--probabilities`.
        """
        why = f"a run on {self._data.name} gives masks"
        options.only("--tile", "--margin", "--tta", "--probabilities", why=why)
        return predict_mask_files(
            model,
            variables,
            paths,
            out,
            class_names=self._data.class_names,
            palette=self._data.palette,
            tiling=options.tiling,
            probabilities=options.probabilities,
            bands=self._data.images,
            thresholds=self._thresholds,
        )

    def write_video(
        self, model: nn.Module, variables: Variables, video: Path, out: Path, options: Options
    ) -> VideoSummary:
        """Frames tinted with their masks; takes `--tile`, `--margin` and `--tta`."""
        options.only("--tile", "--margin", "--tta", why=f"a video of a run on {self._data.name} shows masks")
        variables = jax.device_put(variables)

        def tinted(frame: Frame) -> Frame:
            found = self._predict(model, variables, seen(frame, self._data.images, video), options.tiling)
            return tint(frame, found, self._data.palette)

        return predict_video(tinted, video, out)

    def _predict(
        self, model: nn.Module, variables: Variables, image: np.ndarray, tiling: Tiling = Tiling()
    ) -> UInt[np.ndarray, "h w *k"]:
        if self._thresholds is None:
            return predict_mask(model, variables, image, tiling=tiling)
        found = predict_labels(model, variables, image, self._thresholds, tiling=tiling)
        return found if self._data.multilabel else found[..., 0]
