"""What a run is scored with: overlap, boundaries, calibration, spoiled and moved images, the spectrum of its logits."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from benchmarks.upsampling.cells import STRIDE
from benchmarks.upsampling.corruptions import CORRUPTIONS
from benchmarks.upsampling.data import Data
from benchmarks.upsampling.training import Programs
from segjax import metrics
from segjax.data import test_batches
from segjax.train.state import Variables

LEAST_TOLERANCE = 1.5
"""Pixels that contours may be apart at least, where the metric's share of the diagonal is less: the 8 neighbours."""
CLOSE = (1, 2, 4)
"""Pixels that contours may be apart for the scores of boundary F1 by pixels."""
SHIFTS = ((1, 0), (0, 1), (1, 1))
"""Rows and columns by which the probes are moved."""
CHECKERBOARDS = (2, STRIDE)
"""The strides of checkerboard scores: of one upsampling, and of all together."""


class Look(NamedTuple):
    """What the logits of the probes look like."""

    checkerboard: dict[str, float]
    """The score by stride."""
    spectrum: Float[np.ndarray, "side side"]
    shown: UInt8[np.ndarray, "tiles side side"]
    """The classes that are predicted for the tiles that the report shows."""


def look(program: Programs, variables: Variables, data: Data) -> Look:
    """The spectrum of the probes' logits, and some predictions."""
    logits = _logits(program, variables, data.probes)
    return Look(
        {str(stride): float(_checkerboard(stride)(logits)) for stride in CHECKERBOARDS},
        np.asarray(_spectrum(logits)),
        logits[list(data.shown)].argmax(-1).astype(np.uint8),
    )


def shifted(program: Programs, variables: Variables, data: Data) -> dict[str, float]:
    """What moving the probes by one pixel changes, but for the move, away from their borders (Zhang 2019).

    `classes` is the share of pixels whose class changes, `logits` the root mean square of the change over that of the
    logits around their mean; both 0 for a network that is equivariant, and means over `SHIFTS`.
    """
    logits = _logits(program, variables, data.probes)
    margin = data.side // 4
    inside = slice(margin, data.side - margin)
    here = logits[:, inside, inside]
    changed, moved = [], []
    for down, right in SHIFTS:
        images = np.pad(data.probes, ((0, 0), (down, 0), (right, 0), (0, 0)), "edge")[:, : data.side, : data.side]
        there = _logits(program, variables, images)[
            :, margin + down : data.side - margin + down, margin + right : data.side - margin + right
        ]
        changed.append(np.mean(here.argmax(-1) != there.argmax(-1)))
        moved.append(np.sqrt(np.mean((here - there) ** 2)) / np.std(here - here.mean((0, 1, 2))))
    return {"classes": float(np.mean(changed)), "logits": float(np.mean(moved))}


def _logits(program: Programs, variables: Variables, images: UInt8[np.ndarray, "n h w c"]) -> np.ndarray:
    """Of images, in batches as large as in training."""
    size, count = program.experiment.batch_size, len(images)
    images = np.concatenate([images, np.zeros((-count % size, *images.shape[1:]), np.uint8)])
    parts = [program.apply(variables, images[i : i + size]) for i in range(0, len(images), size)]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])[:count]


def score(program: Programs, variables: Variables, data: Data) -> dict[str, Any]:
    """Scores over the test split, those that papers have and those that they leave out; None for an absent class.

    mIoU, boundary IoU and the IoU of every class; boundary F1 at the metric's tolerance and by pixels; expected
    calibration error; mIoU of spoiled images.
    """
    k = data.num_classes
    confusion, near, contours = np.zeros((k, k), np.int64), np.zeros((2, k), np.int64), np.zeros((2, k + 1))
    spoiled = {name: np.zeros((k, k), np.int64) for name in CORRUPTIONS}
    close = {pixels: np.zeros((2, k + 1)) for pixels in CLOSE}
    bins: Any = 0.0
    for batch in test_batches(data.test, program.experiment.batch_size):
        assert "mask" in batch
        logits, mask = np.asarray(program.apply(variables, batch["image"])), batch["mask"]
        prediction = logits.argmax(-1)
        bins = bins + np.asarray(_calibration(logits, mask), np.float64)
        confusion += np.asarray(_confusion(k)(prediction, mask))
        near += np.asarray(_boundary_iou(k)(prediction, mask))
        tolerance = max(0.0075, LEAST_TOLERANCE / math.hypot(*mask.shape[1:]))
        contours += metrics.boundary_f1_counts(prediction, mask, k, tolerance=tolerance)
        for pixels in CLOSE:
            # A distance is the root of an integer, and one of exactly so many pixels counts.
            just = (pixels + 1e-3) / math.hypot(*mask.shape[1:])
            close[pixels] += metrics.boundary_f1_counts(prediction, mask, k, tolerance=just)
        for name, spoil in CORRUPTIONS.items():
            found = np.asarray(program.apply(variables, spoil(batch["image"]))).argmax(-1)
            spoiled[name] += np.asarray(_confusion(k)(found, mask))
    names = data.dataset.class_names
    return {
        "miou": metrics.mean_iou(confusion),
        "boundary_f1": metrics.mean_boundary_f1(contours),
        "boundary_iou": metrics.mean_boundary_iou(near),
        "boundary_f1_within": {str(pixels): metrics.mean_boundary_f1(counts) for pixels, counts in close.items()},
        "calibration_error": metrics.expected_calibration_error(bins),
        "spoiled": {name: metrics.mean_iou(counts) for name, counts in spoiled.items()},
        "iou": {
            name: None if np.isnan(iou) else float(iou) for name, iou in zip(names, metrics.iou(confusion), strict=True)
        },
    }


# Compiled once in a process, not once a cell.
@cache
def _confusion(num_classes: int) -> Callable[..., Any]:
    return jax.jit(partial(metrics.confusion_matrix, num_classes=num_classes))


@cache
def _boundary_iou(num_classes: int) -> Callable[..., Any]:
    return jax.jit(partial(metrics.boundary_iou_counts, num_classes=num_classes))


@cache
def _checkerboard(stride: int) -> Callable[..., Any]:
    return jax.jit(partial(metrics.checkerboard_score, stride=stride))


_calibration = jax.jit(metrics.calibration_counts)
_spectrum = jax.jit(metrics.power_spectrum)
