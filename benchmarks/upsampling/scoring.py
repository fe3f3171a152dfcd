"""What a run is scored with: overlap, boundaries, and the spectrum of its logits."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, UInt8

from benchmarks.upsampling.cells import STRIDE
from benchmarks.upsampling.data import Data
from benchmarks.upsampling.training import Programs
from segjax import metrics
from segjax.data import test_batches
from segjax.train.state import Variables

LEAST_TOLERANCE = 1.5
"""Pixels that contours may be apart at least, where the metric's share of the diagonal is less: the 8 neighbours."""
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
    """The spectrum of the probes' logits, in batches as large as in training, and some predictions."""
    size = program.experiment.batch_size
    room = -len(data.probes) % size
    images = np.concatenate([data.probes, np.zeros((room, *data.probes.shape[1:]), np.uint8)])
    parts = [program.apply(variables, images[i : i + size]) for i in range(0, len(images), size)]
    logits = np.concatenate([np.asarray(part) for part in parts])[: len(data.probes)]
    return Look(
        {str(stride): float(_checkerboard(stride)(logits)) for stride in CHECKERBOARDS},
        np.asarray(_spectrum(logits)),
        logits[list(data.shown)].argmax(-1).astype(np.uint8),
    )


def score(program: Programs, variables: Variables, data: Data) -> dict[str, Any]:
    """mIoU, boundary F1, boundary IoU and the IoU of every class over the test split; None for an absent class."""
    k = data.num_classes
    confusion, near, contours = np.zeros((k, k), np.int64), np.zeros((2, k), np.int64), np.zeros((2, k + 1))
    for batch in test_batches(data.test, program.experiment.batch_size):
        assert "mask" in batch
        prediction = np.asarray(program.apply(variables, batch["image"])).argmax(-1)
        mask = batch["mask"]
        confusion += np.asarray(_confusion(k)(prediction, mask))
        near += np.asarray(_boundary_iou(k)(prediction, mask))
        tolerance = max(0.0075, LEAST_TOLERANCE / math.hypot(*mask.shape[1:]))
        contours += metrics.boundary_f1_counts(prediction, mask, k, tolerance=tolerance)
    names = data.dataset.class_names
    return {
        "miou": metrics.mean_iou(confusion),
        "boundary_f1": metrics.mean_boundary_f1(contours),
        "boundary_iou": metrics.mean_boundary_iou(near),
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


_spectrum = jax.jit(metrics.power_spectrum)
