"""COCO's scores of many boxes: average precision and average recall."""

import contextlib
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from segjax.metrics.averages import mean

if TYPE_CHECKING:
    from pycocotools.coco import COCO

SMALL, LARGE = 32**2, 96**2
"""The areas in pixels at which COCO's small, medium and large boxes part."""


class DetectionScores(NamedTuple):
    """Scores in 0..1; NaN for a class without a true box, which no mean counts."""

    ap: float
    """Average precision: the mean over recalls 0, 0.01 .. 1, IoU thresholds 0.5, 0.55 .. 0.95 and classes."""
    ap50: float
    """At the IoU threshold 0.5 alone."""
    ap75: float
    ar: float
    """Average recall: what is found in the end, its mean over the same thresholds and classes."""
    ap_small: float
    """`ap` of true boxes of an area below 32² pixels; NaN for no such one."""
    ap_medium: float
    """From 32² to 96²."""
    ap_large: float
    """Above."""
    class_ap: Float[np.ndarray, " k"]
    class_ap50: Float[np.ndarray, " k"]
    class_f1: Float[np.ndarray, " k"]
    """The best F1 at the IoU threshold 0.5, over the recalls 0, 0.01 .. 1 and with COCO's interpolated precision."""
    class_threshold: Float[np.ndarray, " k"]
    """The score from which boxes must be taken for that F1; NaN where no box is right."""
    class_precision: Float[np.ndarray, "k 101"]
    """COCO's interpolated precision at the IoU threshold 0.5 and the recalls 0, 0.01 .. 1."""


def detection_scores(
    boxes: Float[np.ndarray, "n d 4"],
    scores: Float[np.ndarray, "n d"],
    labels: Integer[np.ndarray, "n d"],
    true_boxes: Float[np.ndarray, "n m 4"],
    true_labels: Integer[np.ndarray, "n m"],
    crowd: Bool[np.ndarray, "n m"] | None = None,
    *,
    num_classes: int,
    max_boxes: int = 100,
) -> DetectionScores:
    """COCO's scores for all images of a split at once, computed by pycocotools (of the extra `train`).

    Boxes are (x, y, w, h) in pixels; a label below 0 pads them, and a score of NaN is no detection. A detection whose
    box is not finite is wrong. The `max_boxes` best detections of each image and class count; of equal scores the first
    goes first. A true box in `crowd` need not be found, and a detection whose own area lies inside it, to the share of
    the threshold, is not wrong. Images without true boxes count too: leave out those that only fill a batch. Small,
    medium and large are told apart by the area of the box: COCO's own annotations give that of the outline, which is
    smaller. Of each size the true boxes of others, and detections of another size that match none, neither count nor
    are wrong.

    Raises:
        ValueError: where shapes do not match, a true label is not below `num_classes` or a true box not finite.

    Examples:
        >>> boxes, truth = np.array([[[0.0, 0, 8, 8]]], np.float32), np.array([[[1.0, 0, 8, 8]]], np.float32)
        >>> scores = np.array([[0.9]], np.float32)
        >>> found = metrics.detection_scores(boxes, scores, np.array([[0]]), truth, np.array([[0]]), num_classes=1)
        >>> round(float(found.ap50), 3)
        1.0
    """
    crowd = np.zeros(true_labels.shape, bool) if crowd is None else crowd
    found, true = scores.shape, true_labels.shape
    if (
        len(found) != 2
        or len(true) != 2
        or found[0] != true[0]
        or (boxes.shape, labels.shape) != ((*found, 4), found)
        or (true_boxes.shape, crowd.shape) != ((*true, 4), true)
    ):
        raise ValueError(
            f"boxes have shape {boxes.shape}, scores {scores.shape} and labels {labels.shape}, true boxes "
            f"{true_boxes.shape}, labels {true_labels.shape} and crowd {crowd.shape}: "
            "expected (n, d, 4), (n, d) and (n, d), (n, m, 4), (n, m) and (n, m)."
        )
    if true_labels.max(initial=-1) >= num_classes:
        raise ValueError(f"a true box has label {true_labels.max()}: expected less than num_classes, {num_classes}.")
    of_objects = true_boxes[true_labels >= 0]
    if not np.isfinite(of_objects).all():
        wrong = of_objects[~np.isfinite(of_objects).all(1)][0].tolist()
        raise ValueError(
            f"a true box is {wrong}: expected finite x, y, w and h, or a label below 0 where there is none."
        )
    from pycocotools.cocoeval import COCOeval

    labels = np.where(np.isnan(scores), -1, labels)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints as it goes
        truth = _as_coco(true_boxes, true_labels, num_classes, crowd=crowd)
        evaluation = COCOeval(truth, _as_coco(boxes, labels, num_classes, scores=scores), "bbox")
        evaluation.params.maxDets = [max_boxes]
        evaluation.params.areaRng = [[0, np.inf], [0, SMALL], [SMALL, LARGE], [LARGE, np.inf]]
        evaluation.params.areaRngLbl = ["all", "small", "medium", "large"]
        evaluation.evaluate()
        evaluation.accumulate()
    # By threshold, recall and class, and by threshold and class; -1 where there is no true box.
    precision, recall = evaluation.eval["precision"][..., 0, 0], evaluation.eval["recall"][..., 0, 0]
    recalls, reached = evaluation.params.recThrs[:, None], evaluation.eval["scores"][0, ..., 0, 0]
    f1 = 2 * precision[0] * recalls / (precision[0] + recalls).clip(1e-9)
    best = f1.argmax(axis=0)[None]
    best_f1 = np.take_along_axis(f1, best, 0)[0]
    average = np.where(precision[:, 0] < 0, np.nan, precision.mean(axis=1))
    by_size = evaluation.eval["precision"][..., 1:, 0]  # threshold, recall, class, size
    small, medium, large = (
        mean(np.where(one[0, 0] < 0, np.nan, one.mean((0, 1)))) for one in np.moveaxis(by_size, 3, 0)
    )
    return DetectionScores(
        ap=mean(average.mean(0)),
        ap50=mean(average[0]),
        ap75=mean(average[5]),
        ar=mean(np.where(recall[0] < 0, np.nan, recall.mean(0))),
        ap_small=small,
        ap_medium=medium,
        ap_large=large,
        class_ap=average.mean(0),
        class_ap50=average[0],
        class_f1=np.where(precision[0, 0] < 0, np.nan, best_f1),
        class_threshold=np.where(best_f1 > 0, np.take_along_axis(reached, best, 0)[0], np.nan),
        class_precision=np.where(precision[0] < 0, np.nan, precision[0]).T,
    )


def _as_coco(
    boxes: Float[np.ndarray, "n m 4"],
    labels: Integer[np.ndarray, "n m"],
    num_classes: int,
    *,
    scores: Float[np.ndarray, "n m"] | None = None,
    crowd: Bool[np.ndarray, "n m"] | None = None,
) -> "COCO":
    """What reading a file of COCO's format would give."""
    from pycocotools.coco import COCO

    images, places = np.nonzero((labels >= 0) & (labels < num_classes))
    chosen = boxes[images, places].astype(np.float64)
    chosen[:, 2:] = chosen[:, 2:].clip(0)
    chosen[~np.isfinite(chosen).all(1)] = 0  # which is nowhere: it takes an overlap of NaN for one that is enough
    columns = {
        "id": np.arange(1, len(images) + 1),  # it takes a match with number 0 for none
        "image_id": images,
        "category_id": labels[images, places],
        "bbox": chosen,
        "area": chosen[:, 2] * chosen[:, 3],
        "iscrowd": np.zeros(len(images), int) if crowd is None else crowd[images, places].astype(int),
        "score": np.zeros(len(images)) if scores is None else scores[images, places].astype(np.float64),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    coco = COCO()
    dataset: Any = {
        "images": [{"id": image} for image in range(len(boxes))],
        "categories": [{"id": label} for label in range(num_classes)],
        "annotations": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    coco.dataset = dataset
    coco.createIndex()
    return coco
