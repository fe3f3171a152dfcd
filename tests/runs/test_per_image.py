"""Scores of every image: the table, its order, and what is written beside it."""

import csv
import json
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np

from segjax.data import Dataset
from segjax.runs.per_image import write_per_image
from segjax.tasks import Segmentation


class Bright(nn.Module):
    """What is bright is class 1."""

    @nn.compact
    def __call__(self, image, *, train: bool):
        return jax.nn.one_hot((image[..., 0] > 127).astype(int), 2)


class Halves:
    """Records with the right half bright, of which more and more is called background; the last has no truth."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
        image[:, 4:], mask[:, 4 + index :] = 255, 1
        if index == 3:
            mask[:] = 255
        return {"image": image, "mask": mask}

    def name_of(self, index: int) -> str:
        return ("a", "b", "c", "d\udcff")[index]


def test_every_image_has_its_scores_and_the_worst_come_first(tmp_path: Path):
    data = Dataset("halves", ("ground", "object"), ((0, 0, 0), (255, 0, 0)), lambda split: Halves())  # type: ignore[return-value]
    source, task = data.open("test"), Segmentation(data)
    measured = np.zeros((4, 2, 2), np.int64)
    for index, counts in enumerate(measured):
        found, true = (source[index]["image"][..., 0] > 127).astype(int), source[index]["mask"]
        np.add.at(counts, (true[true < 255], found[true < 255]), 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.png").write_bytes(b"a run's own")
    write_per_image(tmp_path / "out", task, Bright(), {}, source, list(measured))
    with (tmp_path / "out" / "images.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["c", "b", "a", r"d\udcff"]
    assert list(rows[0])[:3] == ["name", "miou", "iou/ground"]
    assert float(rows[0]["iou/object"]) == 0.5  # 2 of 4 columns
    assert float(rows[2]["miou"]) == 1
    assert rows[3]["miou"] == ""  # nothing of it is counted
    listed = json.loads((tmp_path / "out" / "images.json").read_text())
    assert [one["iou"]["object"] for one in listed] == [0.5, 0.75, 1, None]
    with (tmp_path / "out" / "confusion.csv").open() as file:
        assert list(csv.reader(file)) == [
            ["true class", "ground", "object"], ["ground", "96", "24"], ["object", "0", "72"]
        ]  # fmt: skip
    assert (tmp_path / "out" / "worst.png").exists()
    assert (tmp_path / "out" / "predictions.png").read_bytes() == b"a run's own"
    calibration = json.loads((tmp_path / "out" / "calibration.json").read_text())
    [only] = calibration["bins"]  # of a softmax of 0 and 1
    assert (only["count"], only["right"]) == (192, 168 / 192)
    np.testing.assert_allclose(only["probability"], 1 / (1 + np.exp(-1)), rtol=1e-3)
    np.testing.assert_allclose(calibration["expected_calibration_error"], 168 / 192 - 1 / (1 + np.exp(-1)), rtol=1e-2)
    assert (tmp_path / "out" / "calibration.png").exists()
