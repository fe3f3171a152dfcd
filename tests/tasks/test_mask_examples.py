"""A look at masks: what is counted over records, and what is shown of one."""

from typing import Any

import numpy as np
import pytest

from segjax.data import Dataset
from segjax.tasks import Segmentation
from segjax.tasks.mask_examples import examine_masks

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
    seen = examine_masks([record(0), record(3), record(1)], DATA, predict, task.scores, "miou")
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
