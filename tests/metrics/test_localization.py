import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segjax import metrics

CLASSES = 3
counted = jax.jit(partial(metrics.localization_counts, num_classes=CLASSES))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = (np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    return shared / (a[2:].prod() + b[2:].prod() - shared)


def example(seed: int, n: int = 20):
    rng = np.random.default_rng(seed)
    true_boxes = np.concatenate([rng.uniform(0, 9, (n, 2)), rng.uniform(4, 30, (n, 2))], -1)
    boxes = true_boxes + rng.normal(size=(n, 4)) * rng.choice([0.3, 3], (n, 1))
    boxes[:, 2:] = boxes[:, 2:].clip(0.5)
    true_labels = rng.integers(-1, CLASSES - 1, n)
    labels = np.where(rng.random(n) < 0.7, true_labels, rng.integers(0, CLASSES, n))
    return boxes.astype(np.float32), labels, true_boxes.astype(np.float32), true_labels


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_scores_are_their_definitions(seed):
    boxes, labels, true_boxes, true_labels = example(seed)
    rows = {name: [] for name in metrics.LocalizationScores._fields}
    objects = []
    for i in np.flatnonzero(true_labels >= 0):
        overlap, right = iou(boxes[i].astype(float), true_boxes[i].astype(float)), labels[i] == true_labels[i]
        for name, value in zip(rows, (overlap, overlap >= 0.5, right, overlap >= 0.5 and right), strict=True):
            rows[name].append(value)
        objects.append(true_labels[i])
    counts = counted(boxes, labels, true_boxes, true_labels)
    of_all, by_class = metrics.localization_scores(counts.sum(0)), metrics.localization_scores(counts)
    for name, values in rows.items():
        values = np.array(values, float)
        assert float(getattr(of_all, name)) == pytest.approx(values.mean(), rel=1e-5)
        for label in range(CLASSES):
            of_class = values[np.array(objects) == label]
            expected = of_class.mean() if of_class.size else np.nan
            assert getattr(by_class, name)[label] == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_batches_and_padding_change_nothing():
    case = example(3)
    whole = np.asarray(counted(*case))
    pieces = [np.asarray(counted(*(each[part] for each in case))) for part in (slice(0, 7), slice(7, 20))]
    np.testing.assert_allclose(sum(pieces), whole, rtol=1e-6)
    assert whole[:, 0].sum() == (case[3] >= 0).sum()
    assert np.all(np.asarray(counted(*case[:3], np.full(20, -1))) == 0)
    assert np.isnan(metrics.localization_scores(np.zeros(5))).all()


def test_an_overlap_of_exactly_a_half_is_right():
    boxes, true_boxes = np.array([[0, 0, 10, 5.0], [0, 0, 10, 4.99]]), np.array([[0, 0, 10, 10.0]] * 2)
    label = np.zeros(2, int)
    scores = metrics.localization_scores(counted(boxes, label, true_boxes, label).sum(0))
    assert scores.localization_accuracy == scores.box_accuracy == 0.5
    assert scores.class_accuracy == 1
    assert scores.mean_iou == pytest.approx(0.4995, rel=1e-4)


def test_boxes_of_64_bits_are_counted_in_32():
    """What jax will refuse to add up is cast before."""
    box, label = np.array([[0.0, 0, 8, 8]]), np.zeros(1, int)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        counts = metrics.localization_counts(box, label, box, label, 1)
    assert counts.dtype == jnp.float32
    assert counts.tolist() == [[1, 1, 1, 1, 1]]


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"shape \(2, 4\) and labels \(2,\), the true ones \(3, 4\) and \(3,\)"):
        counted(jnp.zeros((2, 4)), jnp.zeros(2, int), jnp.zeros((3, 4)), jnp.zeros(3, int))
