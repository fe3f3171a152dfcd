"""Which records are shown, what tells them apart, and how sure a model was."""

from typing import Any

import numpy as np

from segjax import metrics
from segjax.tasks.examined import calibration_bins, identity, worst_and_median


def test_no_record_is_among_the_worst_and_in_the_middle_and_the_undefined_are_neither():
    scores = [0.5, None, 0.1, 0.9, 0.3, 0.7]
    assert worst_and_median(scores) == ([2, 4, 0], [5, 3])
    many = [i / 99 for i in range(100)]
    assert worst_and_median(many[::-1]) == ([99, 98, 97, 96, 95, 94], [52, 51, 50, 49, 48, 47])
    assert worst_and_median([None]) == ([], [])


def test_a_record_is_told_by_what_it_shows_and_not_by_its_number():
    mask = np.eye(2, dtype=np.uint8)
    records: list[Any] = [{"image": np.full((2, 2, 3), value, np.uint8), "mask": mask} for value in (1, 2, 1)]
    found = [identity(records, index, record) for index, record in enumerate(records)]
    assert found[0]["name"] == "record 0"
    assert found[0]["digest"] == found[2]["digest"] != found[1]["digest"]
    assert identity(records, 0, records[0] | {"mask": np.zeros((2, 2), np.uint8)})["digest"] != found[0]["digest"]


def test_bins_of_confidence_are_those_of_the_metric():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 8, 9, 3)).astype(np.float32)
    mask = rng.integers(0, 3, (1, 8, 9))
    exact = np.exp(logits.astype(np.float64))
    confidence = (exact / exact.sum(-1, keepdims=True)).max(-1)
    found = calibration_bins(confidence.ravel(), (logits.argmax(-1) == mask).ravel())
    np.testing.assert_allclose(found, metrics.calibration_counts(logits, mask), rtol=1e-5)


def test_of_a_model_that_diverged_no_confidence_is_counted():
    with np.errstate(invalid="raise"):
        found = calibration_bins(np.array([np.nan, 0.9]), np.array([True, True]))
    np.testing.assert_allclose(found.sum(axis=0), [1, 0.9, 1])
