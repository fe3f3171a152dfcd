"""The experiments on faces, whose data sets cannot be fetched here: a gradient and the scores of small made-up sets."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from segjax.data import test_batches as batches_of
from segjax.data import train_batches
from segjax.runs import read_experiment
from segjax.train.evaluate import initial_variables
from segjax.train.experiment import Experiment

SMALL = ["--width", "2", "--crop", "32", "--batch-size", "2"]
FACES = 300
"""In one picture: more than a batch has room for unless the experiment says so."""


def crowd(count: int, seed: int) -> dict[str, Any]:
    """A picture of many small faces."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(np.arange(20), np.arange(15)), -1).reshape(-1, 2)[:count]
    return {
        "image": rng.integers(0, 256, (60, 80, 3)).astype(np.uint8),
        "boxes": np.concatenate([4 * places, np.full_like(places, 3)], axis=1).astype(np.float32),
        "labels": np.zeros(count, np.int32),
        "crowd": np.zeros(count, bool),
    }


def coco_set(folder: Path) -> list[str]:
    """Six pictures of two sizes with a face each in COCO's format, whose emotions are not all known."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(6):
        height, width = ((48, 64), (40, 40))[number % 2]
        Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "height": height, "width": width})
        scores = {"happiness": 0.9, "sadness": 0.1} if number % 2 else {"happiness": 0.2}
        face = {"id": number, "image_id": number, "category_id": 3, "bbox": [10, 8, 20, 24], "iscrowd": 0}
        annotations.append(face | {"area": 480, "attributes": scores})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "face"}]}
    (folder / "faces.json").write_text(json.dumps(content))
    return ["--root", str(folder), "--train", str(folder / "faces.json")]


def experiment_on_faces(name: str, folder: Path) -> Experiment:
    file = read_experiment(name)
    experiment = file.build(file.knobs(SMALL + (coco_set(folder) if name == "faces_emotions" else [])))
    if name == "faces_emotions":
        return experiment
    records = {"train": [crowd(FACES, 0), crowd(5, 1)], "test": [crowd(FACES, 2), crowd(0, 3)]}
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, open=records.__getitem__))


@pytest.mark.parametrize("name", ["faces_emotions", "wider_face"])
def test_an_experiment_on_faces_learns_and_scores(name: str, tmp_path: Path):
    experiment = experiment_on_faces(name, tmp_path)
    task, size, room = experiment.task_of_data, experiment.batch_size, experiment.max_boxes
    source = experiment.data.open("train")
    batch = next(train_batches(source, size, seed=0, augment=experiment.augment, max_boxes=room))
    variables = initial_variables(experiment.model, batch["image"][:1], jax.random.key(0))

    def loss(params: Any) -> Any:
        given = {**variables, "params": params}
        outputs, _ = experiment.model.apply(given, batch["image"], train=True, mutable=["batch_stats"])
        return experiment.loss(outputs, task.targets(batch))

    value, gradient = jax.jit(jax.value_and_grad(loss))(variables["params"])
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))

    measure = jax.jit(lambda batch: task.measure(experiment.model.apply(variables, batch["image"], train=False), batch))
    tests = batches_of(experiment.data.open("test"), size, max_boxes=room)
    scores = task.scores(jax.device_get(measure(one)) for one in tests)
    assert scores["ap50"] < 0.1
    if name == "faces_emotions":
        assert len(scores["calibration_error"]) == 8
