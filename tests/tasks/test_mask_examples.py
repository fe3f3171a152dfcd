"""A look at masks: what is counted over records, and what is shown of one."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from segjax.data import Dataset
from segjax.metrics import label_counts
from segjax.tasks import Segmentation, SigmoidSegmentation
from segjax.tasks.mask_examples import examine_masks, look_at_classes, look_at_labels

DATA = Dataset("halves", ("dark", "bright"), ((20, 20, 20), (250, 250, 0)), lambda split: [])  # type: ignore[return-value]


def record(wrong: int) -> Any:
    image = np.full((6, 8, 3), 30, np.uint8)
    image[:, 4:] = 220
    mask = (image[..., 0] > 127).astype(np.uint8)
    mask[0], mask[1, :wrong] = 255, 1
    return {"image": image, "mask": mask}


def predict(image):
    """Sure to 0.9 of what is bright, and to 0.7 of what is dark, in two strips."""
    bright = image[..., 0] > 127
    probabilities = np.where(bright[..., None], [0.1, 0.9], [0.7, 0.3]).astype(np.float32)
    yield 0, probabilities[:2]
    yield 2, probabilities[2:]


def test_pixels_are_counted_once_and_the_worst_record_comes_first():
    task = Segmentation(DATA)
    seen = examine_masks(
        [record(0), record(3), record(1)], DATA, predict, partial(look_at_classes, count=2), task.scores, "miou"
    )
    assert seen.details["confusion"] == [[56, 0], [4, 60]]
    bins = np.array(seen.details["calibration"])
    np.testing.assert_allclose(bins[[10, 13]], [[60, 42, 56], [60, 54, 60]])
    assert bins.sum() == pytest.approx(42 + 56 + 54 + 60 + 120)
    expected = [1, (17 / 20 + 20 / 23) / 2, (19 / 20 + 20 / 21) / 2]
    assert [one["miou"] for one in seen.images] == pytest.approx(expected)
    assert [one.name for one in (*seen.worst, *seen.median)] == ["record 1", "record 2", "record 0"]
    layers = seen.worst[0].layers
    assert list(layers) == ["image", "truth", "prediction", "error"]
    red = (layers["error"] == (214, 39, 40)).all(-1)
    assert red.sum() == 3
    assert red[1, :3].all()
    assert (layers["error"][0] == 255).all()  # what is ignored
    assert (layers["truth"] != layers["prediction"]).any(-1)[1].tolist() == [True] * 3 + [False] * 5


def test_labels_that_overlap_are_looked_at_by_their_thresholds():
    labels = Dataset("labels", ("left", "top"), DATA.palette, lambda split: [], multilabel=True)  # type: ignore
    rng = np.random.default_rng(0)
    probabilities = rng.random((2, 6, 8, 2)).astype(np.float32)
    records: list[Any] = []
    for number in range(2):
        mask = rng.integers(0, 2, (6, 8, 2)).astype(np.uint8)
        mask[0, :, 0] = 255
        records.append({"image": np.full((6, 8, 3), number, np.uint8), "mask": mask})

    def predict_by_number(image):
        found = probabilities[image[0, 0, 0]]
        yield 0, found[:2]
        yield 2, found[2:]

    task = SigmoidSegmentation(labels, (0.25, 0.75))
    look = partial(look_at_labels, thresholds=(0.25, 0.75))
    seen = examine_masks(records, labels, predict_by_number, look, task.scores, "miou")
    logits = np.log(probabilities / (1 - probabilities))
    for number, record in enumerate(records):
        counts = np.asarray(label_counts(jnp.asarray(logits[number][None]), jnp.asarray(record["mask"][None])))
        assert seen.images[number]["miou"] == pytest.approx(task.scores([counts])["miou"])
    assert "confusion" not in seen.details
    bins = np.array(seen.details["calibration"])
    counted = np.stack([record["mask"] for record in records]) != 255
    assert bins[:, 0].sum() == counted.sum()
    assert bins[:, 1].sum() == pytest.approx(probabilities[counted].sum(), abs=0.01)
    assert bins[:, 2].sum() == sum((record["mask"] == 1).sum() for record in records)
    worst = seen.worst[0]
    number = int(worst.name.split()[-1])
    wrong = (probabilities[number] >= (0.25, 0.75)) != (records[number]["mask"] == 1)
    wrong &= records[number]["mask"] != 255
    np.testing.assert_array_equal((worst.layers["error"] == (214, 39, 40)).all(-1), wrong.any(-1))
