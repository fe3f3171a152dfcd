"""A look at masks, record by record: confusion, calibration, and the worst of them as images."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, UInt, UInt8

from segjax.data import Dataset, Source
from segjax.data.record import IGNORE
from segjax.drawing import brightened, grey_overlay
from segjax.drawing.figures import evenly
from segjax.mask_numbers import ignored_in
from segjax.metrics import ClassSums
from segjax.metrics.labels import probability_counts
from segjax.tasks.examined import BINS, LOOKED_AT, Examined, Example, calibration_bins, identity, worst_and_median

Strips = Iterable[tuple[int, Float[np.ndarray, "rows w k"]]]
"""Class probabilities of rows of an image, each with the number of its first row."""
IN_MATRIX = 255
"""Classes of which there is a confusion matrix; of more there are its sums."""
_WRONG = (214, 39, 40)


class Look(NamedTuple):
    """What is seen of one image."""

    found: UInt[np.ndarray, "h w *k"]
    """The mask that is predicted."""
    counts: Any
    """What the scores of the task are made of."""
    calibration: Float[np.ndarray, "bins 3"]
    """As `calibration_bins` has it."""


Looking = Callable[[Strips, UInt[np.ndarray, "h w *k"]], Look]
"""What is seen of the probabilities of an image, given its true mask."""


def examine_masks(
    source: Source,
    data: Dataset,
    predict: Callable[[Num[np.ndarray, "h w c"]], Strips],
    look: Looking,
    scores: Callable[[Sequence[Any]], dict[str, Any]],
    headline: str,
) -> Examined:
    """What is seen of up to `LOOKED_AT` records.

    Args:
        source: The records.
        data: The data set that they are of.
        predict: What the model says of an image.
        look: What is seen of that.
        scores: Those of counts.
        headline: The score by which records are ordered.
    """
    calibration = np.zeros((BINS, 3))
    looked_at, images, confusion = evenly(len(source), LOOKED_AT), [], None
    for index in looked_at:
        record = source[index]
        seen = look(predict(record["image"]), record["mask"])
        calibration = calibration + seen.calibration
        if isinstance(seen.counts, np.ndarray) and seen.counts.ndim == 2:  # of classes of which a pixel has one
            confusion = seen.counts if confusion is None else confusion + seen.counts
        images.append(identity(source, index, record) | scores([seen.counts]))

    def example(place: int) -> Example:
        record = source[looked_at[place]]  # read and predicted again: all of them together may be too large to keep
        found = look(predict(record["image"]), record["mask"]).found
        image = brightened(data.shown(record["image"]))
        layers = {
            "image": image,
            "truth": grey_overlay(image, record["mask"], data.palette),
            "prediction": grey_overlay(image, found, data.palette),
            "error": _errors(image, record["mask"], found),
        }
        return Example(images[place]["name"], f"mean IoU {images[place][headline]:.3f}", layers)

    worst, median = worst_and_median([one[headline] for one in images])
    details: dict[str, Any] = {"calibration": calibration.round(3).tolist()}
    if confusion is not None:
        details["confusion"] = confusion.tolist()
    return Examined(images, len(source), details, [*map(example, worst)], [*map(example, median)])


def look_at_classes(strips: Strips, truth: UInt[np.ndarray, "h w"], *, count: int) -> Look:
    """The most probable class of every pixel, the confusion matrix, and the calibration of that probability."""
    mask, bins, ignore = np.empty_like(truth), [], ignored_in(truth)
    for row, strip in strips:
        found, true = strip.argmax(-1), truth[row : row + len(strip)]
        mask[row : row + len(strip)] = found
        bins.append(calibration_bins(strip.max(-1)[true != ignore], (found == true)[true != ignore]))
    return Look(mask, _confusion(mask, truth, count), np.sum(bins, axis=0))


def look_at_labels(strips: Strips, truth: UInt8[np.ndarray, "h w *k"], *, thresholds: Sequence[float]) -> Look:
    """The labels from their thresholds on, their pixels by probability, and the calibration of having a label."""
    true = truth.reshape(*truth.shape[:2], len(thresholds))
    mask, counts, bins = np.empty_like(true), [], []
    for row, strip in strips:
        here = true[row : row + len(strip)]
        mask[row : row + len(strip)] = strip >= np.asarray(thresholds, np.float32)
        counts.append(probability_counts(strip, here))
        bins.append(calibration_bins(strip[here != IGNORE], (here == 1)[here != IGNORE]))
    return Look(mask.reshape(truth.shape), np.sum(counts, axis=0)[None], np.sum(bins, axis=0))


def _confusion(
    found: UInt[np.ndarray, "h w"], truth: UInt[np.ndarray, "h w"], count: int
) -> Int[np.ndarray, "k k"] | ClassSums:
    """As `Segmentation` counts, of one image and without a program for every size."""
    counted = truth < count
    true, predicted = truth[counted].astype(np.int64), found[counted]
    if count > IN_MATRIX:
        right = true[true == predicted]
        return ClassSums(*(np.bincount(part, minlength=count) for part in (right, true, predicted)))
    return np.bincount(true * count + predicted, minlength=count**2).reshape(count, count)


def _errors(
    image: UInt8[np.ndarray, "h w 3"], truth: UInt[np.ndarray, "h w *k"], found: UInt[np.ndarray, "h w *k"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The image in grey, what is wrong in red, and white where nothing is counted."""
    grey = 0.6 * image.mean(axis=2, keepdims=True).repeat(3, axis=2) + 60
    labels = truth.reshape(*truth.shape[:2], -1)
    ignore = ignored_in(truth)
    counted = (labels != ignore).any(-1)[..., None]
    wrong = ((labels != found.reshape(labels.shape)) & (labels != ignore)).any(-1)[..., None]
    return np.where(counted, np.where(wrong, _WRONG, grey), 255).astype(np.uint8)
