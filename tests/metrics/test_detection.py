import contextlib
import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segjax import metrics

CLASSES = 3
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def overlap(found: np.ndarray, true: np.ndarray, is_crowd: bool) -> float:
    """IoU; of a crowd, the share of the found box that lies inside."""
    sides = np.minimum(found[:2] + found[2:], true[:2] + true[2:]) - np.maximum(found[:2], true[:2])
    shared = sides.clip(0).prod()
    return shared / (found[2:].prod() + (0 if is_crowd else true[2:].prod() - shared)) if shared else 0.0


def judge(found, true, crowd, threshold: float) -> list[bool | None]:
    """Of one image and class, best detection first: right, wrong, or (None) neither."""
    taken, verdicts = set(), []
    for box in found:
        free = [j for j in range(len(true)) if not crowd[j] and j not in taken]
        overlaps = {j: overlap(box, true[j], False) for j in free}
        best = max(free, key=overlaps.__getitem__, default=None)
        if best is not None and overlaps[best] >= threshold:
            taken.add(best)
            verdicts.append(True)
        elif any(crowd[j] and overlap(box, true[j], True) >= threshold for j in range(len(true))):
            verdicts.append(None)
        else:
            verdicts.append(False)
    return verdicts


def scores_by_hand(boxes, scores, labels, true_boxes, true_labels, crowd, most: int) -> dict[str, np.ndarray]:
    """COCO's protocol, threshold by threshold, class by class, image by image, recall by recall."""
    precision = np.full((len(THRESHOLDS), CLASSES), np.nan)
    recall = precision.copy()
    f1, at_score = np.full((2, CLASSES), np.nan)
    for t, threshold in enumerate(THRESHOLDS):
        for label in range(CLASSES):
            ranked, objects = [], 0
            for i in range(len(boxes)):
                places = [j for j in np.argsort(-scores[i], kind="stable") if labels[i, j] == label][:most]
                mine = true_labels[i] == label
                verdicts = judge(boxes[i, places], true_boxes[i, mine], crowd[i, mine], threshold)
                ranked += [(scores[i, j], verdict) for j, verdict in zip(places, verdicts, strict=True)]
                objects += int((mine & ~crowd[i]).sum())
            if not objects:
                continue
            verdicts = [verdict for _, verdict in sorted(ranked, key=lambda each: -each[0]) if verdict is not None]
            right = np.cumsum(verdicts, dtype=float)
            recalls, precisions = right / objects, right / np.arange(1, len(right) + 1)
            at = [precisions[recalls >= least].max(initial=0) for least in np.linspace(0, 1, 101)]
            precision[t, label], recall[t, label] = np.mean(at), recalls.max(initial=0)
            if t == 0:
                kept = [score for score, verdict in sorted(ranked, key=lambda each: -each[0]) if verdict is not None]
                f1[label] = 0.0
                for least, reached in zip(np.linspace(0, 1, 101), at, strict=True):
                    value = 2 * reached * least / max(reached + least, 1e-9)
                    if value > f1[label]:
                        f1[label], at_score[label] = value, kept[np.argmax(recalls >= least)]
    return {"precision": precision, "recall": recall, "f1": f1, "threshold": at_score}


def example(seed: int, images: int = 4, found: int = 9, true: int = 4):
    """Detections near true boxes or anywhere, of the right class or not, doubled and padded; truths with crowds."""
    rng = np.random.default_rng(seed)
    true_boxes = np.concatenate([rng.uniform(0, 40, (images, true, 2)), rng.uniform(4, 30, (images, true, 2))], -1)
    true_labels = rng.integers(-1, CLASSES - 1, (images, true))  # of the last class there is none
    near = rng.integers(0, true, (images, found))
    boxes = np.take_along_axis(true_boxes, near[..., None], 1) + rng.normal(size=(images, found, 4)) * rng.choice(
        [0.5, 2, 9], (images, found, 1)
    )
    boxes[..., 2:] = np.abs(boxes[..., 2:])
    guess = rng.integers(-1, CLASSES, (images, found))
    labels = np.where(rng.random((images, found)) < 0.7, np.take_along_axis(true_labels, near, 1), guess)
    crowd = rng.random((images, true)) < 0.2
    scores = rng.permutation(images * found).reshape(images, found) / (images * found)
    return boxes, scores, labels, true_boxes, true_labels, crowd


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 100]))
def test_scores_are_those_of_the_loop(seed, most):
    case = example(seed)
    expected = scores_by_hand(*case, most)
    known = ~np.isnan(expected["precision"][0])
    scores = metrics.detection_scores(*case, num_classes=CLASSES, max_boxes=most)
    by_class = expected["precision"].mean(0)
    np.testing.assert_allclose(scores.class_ap, by_class, atol=1e-9)
    np.testing.assert_allclose(scores.class_ap50, expected["precision"][0], atol=1e-9)
    np.testing.assert_allclose(scores.class_f1, expected["f1"], atol=1e-9)
    np.testing.assert_allclose(scores.class_threshold, expected["threshold"], atol=1e-9)
    whole = by_class[known].mean(), expected["precision"][0, known].mean(), expected["precision"][5, known].mean()
    np.testing.assert_allclose([scores.ap, scores.ap50, scores.ap75], whole, atol=1e-9)
    assert scores.ar == pytest.approx(expected["recall"][:, known].mean(), abs=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_average_precision_by_size_is_that_of_cocos_own_summary(seed):
    """COCOeval's own params and summary, of files written and read as users of it do."""
    boxes, scores, labels, true_boxes, true_labels, crowd = example(seed, images=3)
    boxes, true_boxes = boxes * (1, 1, 4, 4), true_boxes * (1, 1, 4, 4)  # areas from 16² to 120²
    found = metrics.detection_scores(boxes, scores, labels, true_boxes, true_labels, crowd, num_classes=CLASSES)
    images, places = np.nonzero(true_labels >= 0)
    truth: Any = COCO()
    truth.dataset = {
        "images": [{"id": i} for i in range(3)],
        "categories": [{"id": k} for k in range(CLASSES)],
        "annotations": [
            {
                "id": number,
                "image_id": int(i),
                "category_id": int(true_labels[i, j]),
                "bbox": true_boxes[i, j].tolist(),
                "area": float(true_boxes[i, j, 2:].prod()),
                "iscrowd": int(crowd[i, j]),
            }
            for number, (i, j) in enumerate(zip(images, places, strict=True), start=1)
        ],
    }
    rows = [
        {"image_id": int(i), "category_id": int(labels[i, j]), "bbox": boxes[i, j].tolist(), "score": scores[i, j]}
        for i, j in zip(*np.nonzero(labels >= 0), strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    expected = np.where(evaluation.stats < 0, np.nan, evaluation.stats)
    np.testing.assert_allclose(found[:3], expected[:3], atol=1e-9)
    np.testing.assert_allclose([found.ap_small, found.ap_medium, found.ap_large], expected[3:6], atol=1e-9)


def test_each_size_is_scored_for_itself():
    true_boxes = np.array([[[0, 0, 31, 31], [40, 0, 33, 33], [100, 0, 97, 97]]], float)
    label, scores = np.zeros((1, 3), int), np.array([[0.9, 0.8, 0.7]])
    found = metrics.detection_scores(true_boxes, scores, label, true_boxes, label, num_classes=1)
    assert (found.ap_small, found.ap_medium, found.ap_large) == pytest.approx((1, 1, 1))
    found = metrics.detection_scores(true_boxes, scores, np.array([[-1, 0, 0]]), true_boxes, label, num_classes=1)
    assert (found.ap_small, found.ap_medium, found.ap_large) == pytest.approx((0, 1, 1))
    few = metrics.detection_scores(true_boxes, scores, label, true_boxes[:, 1:2], label[:, :1], num_classes=1)
    assert np.isnan([few.ap_small, few.ap_large]).all()
    assert few.ap_medium == pytest.approx(1)  # where the others would be wrong, they are of another size


def test_the_examples_have_what_makes_scores_hard():
    boxes, _, labels, true_boxes, true_labels, crowd = example(0)
    verdicts = [
        verdict
        for seed in range(5)
        for i in range(4)
        for case in [example(seed)]
        for verdict in judge(case[0][i], case[3][i], case[5][i], 0.5)
    ]
    assert {True, False, None} == set(verdicts)
    assert crowd.any()
    assert (labels < 0).any()
    assert (true_labels < 0).any()
    assert len(boxes) == len(true_boxes)


def test_perfect_detections_score_one_and_none_score_zero():
    *_, true_boxes, true_labels, _ = example(1)
    ones = np.ones(true_labels.shape)
    perfect = metrics.detection_scores(true_boxes, ones, true_labels, true_boxes, true_labels, num_classes=CLASSES)
    assert perfect[:4] == pytest.approx((1, 1, 1, 1))
    np.testing.assert_allclose(perfect.class_ap, [1, 1, np.nan])
    none = metrics.detection_scores(true_boxes, ones, 0 * true_labels - 1, true_boxes, true_labels, num_classes=CLASSES)
    assert none[:4] == (0, 0, 0, 0)
    unsure = metrics.detection_scores(
        true_boxes, np.nan * ones, true_labels, true_boxes, true_labels, num_classes=CLASSES
    )
    assert unsure[:4] == (0, 0, 0, 0)
    empty = np.zeros((len(ones), 0))
    nothing = metrics.detection_scores(
        empty[..., None].repeat(4, -1), empty, empty.astype(int), true_boxes, true_labels, num_classes=CLASSES
    )
    assert nothing[:4] == (0, 0, 0, 0)


@pytest.mark.parametrize("images", [2, 0])
def test_without_true_boxes_there_is_no_score(images):
    boxes, labels = np.ones((images, 3, 4)), np.zeros((images, 3), int)
    scores = metrics.detection_scores(boxes, np.ones((images, 3)), labels, boxes, labels - 1, num_classes=2)
    assert np.isnan(scores[:4]).all()
    assert np.isnan(scores.class_ap).all()
    assert np.isnan(scores.class_ap50).all()
    assert np.isnan(scores.class_f1).all()
    assert np.isnan(scores.class_threshold).all()


def test_half_of_the_objects_and_a_wrong_guess():
    true_boxes = np.array([[[0, 0, 10, 10], [50, 50, 10, 10]]], float)
    boxes = np.array([[[0, 0, 10, 10], [20, 20, 10, 10]]], float)
    found = np.zeros((1, 2), int)
    scores = metrics.detection_scores(boxes, np.array([[0.9, 0.8]]), found, true_boxes, found, num_classes=1)
    assert scores.ap50 == pytest.approx(51 / 101)  # the recalls 0, 0.01 .. 0.5
    assert scores.ar == 0.5
    scores = metrics.detection_scores(boxes, np.array([[0.8, 0.9]]), found, true_boxes, found, num_classes=1)
    assert scores.ap50 == pytest.approx(51 / 101 / 2)


def test_a_crowd_is_neither_found_nor_missed_nor_false():
    true_boxes = np.array([[[0, 0, 10, 10], [40, 40, 60, 60]]], float)
    labels, crowd = np.zeros((1, 2), int), np.array([[False, True]])
    boxes = np.array([[[45, 45, 8, 8], [60, 60, 8, 8], [0, 0, 10, 10]]], float)
    guesses, found = np.array([[0.9, 0.8, 0.7]]), np.zeros((1, 3), int)
    spared = metrics.detection_scores(boxes, guesses, found, true_boxes, labels, crowd, num_classes=1)
    assert spared[:4] == pytest.approx((1, 1, 1, 1))
    assert metrics.detection_scores(boxes, guesses, found, true_boxes, labels, num_classes=1).ap < 0.4
    alone = metrics.detection_scores(boxes, guesses, found, true_boxes, labels, crowd | True, num_classes=1)
    assert np.isnan(alone.ap)


def test_boxes_without_area_match_nothing():
    point = np.array([[[5, 5, 0, 0]]], float)
    label = np.zeros((1, 1), int)
    assert metrics.detection_scores(point, np.ones((1, 1)), label, point, label, num_classes=1).ap == 0
    inside_out = np.array([[[5, 5, -3, -3]]], float)
    assert metrics.detection_scores(inside_out, np.ones((1, 1)), label, inside_out, label, num_classes=1).ap == 0


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("place", range(4))
def test_a_box_that_is_not_finite_is_wrong(number, place):
    """pycocotools takes an overlap of NaN for enough, so that such a box found everything."""
    true_boxes, label = np.array([[[5.0, 5, 8, 8]]]), np.zeros((1, 1), int)
    boxes = true_boxes.copy()
    boxes[0, 0, place] = number
    scores = metrics.detection_scores(boxes, np.ones((1, 1)), label, true_boxes, label, num_classes=1)
    assert scores.ap50 == scores.ar == 0
    with pytest.raises(
        ValueError, match=r"^a true box is \[.*(nan|inf).*\]: expected finite x, y, w and h, or a label"
    ):
        metrics.detection_scores(true_boxes, np.ones((1, 1)), label, boxes, label, num_classes=1)


def test_it_prints_nothing(capsys):
    metrics.detection_scores(*example(0), num_classes=CLASSES)
    assert capsys.readouterr().out == ""


def test_importing_metrics_needs_no_extra():
    code = "import sys, segjax.metrics; print('pycocotools' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_does_not_fit_is_named():
    boxes, scores, labels, true_boxes, true_labels, crowd = example(0)
    with pytest.raises(ValueError, match=r"scores \(4, 8\) and labels \(4, 9\)"):
        metrics.detection_scores(boxes, scores[:, 1:], labels, true_boxes, true_labels, num_classes=3)
    with pytest.raises(ValueError, match=r"true boxes \(3, 4, 4\)"):
        metrics.detection_scores(boxes, scores, labels, true_boxes[1:], true_labels[1:], num_classes=3)
    with pytest.raises(ValueError, match=r"crowd \(3, 4\)"):
        metrics.detection_scores(boxes, scores, labels, true_boxes, true_labels, crowd[1:], num_classes=3)
    with pytest.raises(ValueError, match="label 1: expected less than num_classes, 1"):
        metrics.detection_scores(boxes, scores, labels, true_boxes, true_labels, num_classes=1)
