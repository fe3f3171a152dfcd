"""Scores in two steps: counts of a batch, which may be summed over batches and hosts, and a score from the sum."""

from segjax.metrics.confusion import (
    confusion_matrix,
    dice,
    frequency_weighted_iou,
    iou,
    mean_accuracy,
    mean_dice,
    mean_iou,
    pixel_accuracy,
)

__all__ = [
    "confusion_matrix",
    "dice",
    "frequency_weighted_iou",
    "iou",
    "mean_accuracy",
    "mean_dice",
    "mean_iou",
    "pixel_accuracy",
]
