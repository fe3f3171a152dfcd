"""Scores in two steps, so that batches, hosts and padding cannot change them.

`confusion_matrix` and the functions named `*_counts` turn a batch into one array of sums; the arrays of all batches and
hosts are added up, and the score is read from the total, in float64 on the host. A pixel whose mask is `ignore` adds
nothing. A class that is absent has no score: NaN in the array of all classes, and left out of means. That is the rule
of mmsegmentation and of torchmetrics' macro averages; scikit-learn's `jaccard_score` counts such a class as 0 instead.

`checkerboard_score` looks at logits alone, and asks for no mask. `detection_scores` ranks all boxes of a split, and so
takes them at once.
"""

from segjax.metrics.attributes import attribute_confusion, attribute_cross_entropy_counts
from segjax.metrics.boundary_iou import boundary_iou, boundary_iou_counts, mean_boundary_iou
from segjax.metrics.calibration import attribute_calibration_counts, calibration_counts, expected_calibration_error
from segjax.metrics.checkerboard import checkerboard_score, power_spectrum
from segjax.metrics.confusion import (
    ClassSums,
    class_accuracy,
    class_sums,
    confusion_matrix,
    dice,
    frequency_weighted_iou,
    iou,
    mean_accuracy,
    mean_dice,
    mean_iou,
    pixel_accuracy,
)
from segjax.metrics.contours import (
    boundary_f1,
    boundary_f1_counts,
    hausdorff_95,
    hausdorff_95_counts,
    mean_boundary_f1,
    mean_hausdorff_95,
)
from segjax.metrics.detection import DetectionScores, detection_scores
from segjax.metrics.labels import LabelScores, best_thresholds, label_counts, label_scores
from segjax.metrics.localization import LocalizationScores, localization_counts, localization_scores

__all__ = [
    "ClassSums",
    "DetectionScores",
    "LabelScores",
    "LocalizationScores",
    "attribute_calibration_counts",
    "attribute_confusion",
    "attribute_cross_entropy_counts",
    "best_thresholds",
    "boundary_f1",
    "boundary_f1_counts",
    "boundary_iou",
    "boundary_iou_counts",
    "calibration_counts",
    "checkerboard_score",
    "class_accuracy",
    "class_sums",
    "confusion_matrix",
    "detection_scores",
    "dice",
    "expected_calibration_error",
    "frequency_weighted_iou",
    "hausdorff_95",
    "hausdorff_95_counts",
    "iou",
    "label_counts",
    "label_scores",
    "localization_counts",
    "localization_scores",
    "mean_accuracy",
    "mean_boundary_f1",
    "mean_boundary_iou",
    "mean_dice",
    "mean_hausdorff_95",
    "mean_iou",
    "pixel_accuracy",
    "power_spectrum",
]
