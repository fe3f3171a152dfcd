"""Prediction with a trained run, in the way of its task: masks, or boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from segjax.drawing import draw_boxes, notes, tint
from segjax.errors import InferenceError
from segjax.inference.box_files import predict_box_files
from segjax.inference.boxes import predict_boxes
from segjax.inference.files import Summary, predict_files
from segjax.inference.prediction import Variables, predict_mask
from segjax.inference.video import Frame, VideoSummary, predict_video
from segjax.tasks.segmentation import Segmentation

LEAST = 0.3
"""The score from which boxes are drawn and written where nobody says another."""


def predict_pictures(
    experiment: Any,
    variables: Variables,
    paths: Sequence[Path],
    out: Path,
    *,
    tile: int | None = None,
    margin: int | None = None,
    tta: Sequence[str | float] = (),
    probabilities: Literal["npy", "png"] | None = None,
    least: float | None = None,
) -> Summary:
    """`predict_files` with a run of segmentation, `predict_box_files` with one that finds objects.

    Raises `InferenceError` as they do, and where an argument is for the other of both.
    """
    data, task = experiment.data, experiment.task_of_data
    known: dict[str, Any] = {"class_names": data.class_names, "palette": data.palette}
    if isinstance(task, Segmentation):
        _refuse(experiment, "gives masks", {"--score": least})
        known |= {"tile": tile, "margin": margin, "tta": tta, "probabilities": probabilities}
        return predict_files(experiment.model, variables, paths, out, **known)
    for_masks = {"--tile": tile, "--margin": margin, "--tta": tta or None, "--probabilities": probabilities}
    _refuse(experiment, "finds boxes", for_masks)
    known |= {"attribute_names": data.attribute_names, "size": getattr(task, "size", None)}
    known |= {"max_boxes": getattr(task, "max_boxes", 1)}
    return predict_box_files(experiment.model, variables, paths, out, least=_least(least), **known)


def predict_frames(
    experiment: Any,
    variables: Variables,
    video: Path,
    out: Path,
    *,
    tile: int | None = None,
    least: float | None = None,
) -> VideoSummary:
    """`predict_video` with a run: frames tinted with their masks, or with boxes, classes and scores drawn."""
    data, task = experiment.data, experiment.task_of_data
    variables = jax.device_put(variables)
    if isinstance(task, Segmentation):
        _refuse(experiment, "gives masks", {"--score": least})

        def labelled(frame: Frame) -> Frame:
            return tint(frame, predict_mask(experiment.model, variables, frame, tile=tile), data.palette)

        return predict_video(labelled, video, out)
    _refuse(experiment, "finds boxes", {"--tile": tile})
    size, score = getattr(task, "size", None), _least(least)
    max_boxes = getattr(task, "max_boxes", 1)

    def located(frame: Frame) -> Frame:
        found = predict_boxes(experiment.model, variables, frame, size=size, max_boxes=max_boxes, least=score)
        return np.asarray(draw_boxes(frame, notes(found, data.class_names, data.attribute_names), data.palette))

    return predict_video(located, video, out)


def _least(score: float | None) -> float:
    if score is None:
        return LEAST
    if 0 <= score <= 1:
        return score
    raise InferenceError(f"--score is {score:g}: a score is between 0 and 1.")


def _refuse(experiment: Any, does: str, options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise InferenceError(f"a run on {experiment.data.name} {does}: leave {given[0]} out.")
