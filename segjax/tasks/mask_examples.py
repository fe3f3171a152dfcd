"""A look at masks, record by record: confusion, calibration, and the worst of them as images."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, UInt8

from segjax.data import Dataset, Source
from segjax.drawing import brightened, grey_overlay
from segjax.drawing.figures import evenly
from segjax.tasks.examined import BINS, LOOKED_AT, Examined, Example, calibration_bins, identity, worst_and_median

Strips = Iterable[tuple[int, Float[np.ndarray, "rows w k"]]]
"""Class probabilities of rows of an image, each with the number of its first row."""
_WRONG = (214, 39, 40)


def examine_masks(
    source: Source,
    data: Dataset,
    predict: Callable[[Num[np.ndarray, "h w c"]], Strips],
    scores: Callable[[Sequence[Int[np.ndarray, "k k"]]], dict[str, Any]],
    headline: str,
) -> Examined:
    """What is seen of up to `LOOKED_AT` records.

    Args:
        source: The records.
        data: The data set that they are of.
        predict: What the model says of an image.
        scores: Those of confusion matrices.
        headline: The score by which records are ordered.
    """
    count = len(data.class_names)
    confusion, calibration = np.zeros((count, count), np.int64), np.zeros((BINS, 3))
    looked_at, images = evenly(len(source), LOOKED_AT), []
    for index in looked_at:
        record = source[index]
        found, bins = _predicted(predict(record["image"]), record["mask"])
        counts = _confusion(found, record["mask"], count)
        confusion, calibration = confusion + counts, calibration + bins
        images.append(identity(source, index, record) | scores([counts]))

    def example(place: int) -> Example:
        record = source[looked_at[place]]  # read and predicted again: all of them together may be too large to keep
        found, _ = _predicted(predict(record["image"]), record["mask"])
        image = brightened(data.shown(record["image"]))
        layers = {
            "image": image,
            "truth": grey_overlay(image, record["mask"], data.palette),
            "prediction": grey_overlay(image, found, data.palette),
            "error": _errors(image, record["mask"], found),
        }
        return Example(images[place]["name"], f"mean IoU {images[place][headline]:.3f}", layers)

    worst, median = worst_and_median([one[headline] for one in images])
    details = {"confusion": confusion.tolist(), "calibration": calibration.round(3).tolist()}
    return Examined(images, len(source), details, [*map(example, worst)], [*map(example, median)])


def _predicted(
    strips: Strips, truth: UInt8[np.ndarray, "h w"]
) -> tuple[UInt8[np.ndarray, "h w"], Float[np.ndarray, "bins 3"]]:
    """The most probable class of every pixel, and the calibration of its probability."""
    mask, bins = np.empty(truth.shape, np.uint8), []
    for row, strip in strips:
        found, true = strip.argmax(-1), truth[row : row + len(strip)]
        mask[row : row + len(strip)] = found
        bins.append(calibration_bins(strip.max(-1)[true != 255], (found == true)[true != 255]))
    return mask, np.sum(bins, axis=0)


def _confusion(found: UInt8[np.ndarray, "h w"], truth: UInt8[np.ndarray, "h w"], count: int) -> Int[np.ndarray, "k k"]:
    """Pixels by true class (row) and predicted class (column)."""
    counted = truth < count
    cells = truth[counted].astype(np.int64) * count + found[counted]
    return np.bincount(cells, minlength=count**2).reshape(count, count)


def _errors(
    image: UInt8[np.ndarray, "h w 3"], truth: UInt8[np.ndarray, "h w"], found: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The image in grey, what is wrong in red, and white where nothing is counted."""
    grey = 0.6 * image.mean(axis=2, keepdims=True).repeat(3, axis=2) + 60
    counted = (truth != 255)[..., None]
    wrong = (truth != found)[..., None]
    return np.where(counted, np.where(wrong, _WRONG, grey), 255).astype(np.uint8)
