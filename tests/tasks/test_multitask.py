"""Mask, box and class at once, from training to prediction."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from box_records import DATA
from forks import Forks
from PIL import Image
from pycocotools.coco import COCO

import segjax
from segjax.cli import main
from segjax.data.formats.images import read_raster
from segjax.runs import experiment_of
from segjax.runs.saved import open_predictor
from segjax.tasks import MultiTask, Options
from segjax.train import Run


def test_one_object_from_training_to_prediction(
    coloured: Path, tmp_path: Path, forks: Forks, capsys: pytest.CaptureFixture[str]
):
    code, said = forks.run("train", coloured, "--out", tmp_path / "run")
    assert code == 0, said
    run = Run(tmp_path / "run")
    scores = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1])["test"]
    assert isinstance(experiment_of(run).task(DATA), MultiTask)
    assert scores["class_accuracy"] == 1
    assert scores["localization_accuracy"] > 0.8
    assert scores["miou"] > 0.6
    assert set(scores["mask_iou"]) == {"background", "red", "blue"}
    assert (run.path / "curves.png").stat().st_size > 10_000
    assert (run.path / "predictions.png").stat().st_size > 10_000
    _, variables = segjax.load(run.path)
    assert np.abs(variables["params"]["model"]["log_variances"]).min() > 0  # they learn, too
    main(["evaluate", str(run.path), "--json"])
    evaluated = json.loads(capsys.readouterr().out)["test"]
    assert evaluated["localization_accuracy"] == pytest.approx(scores["localization_accuracy"])
    assert evaluated["mean_iou"] == pytest.approx(scores["mean_iou"], rel=1e-5)

    source: Any = experiment_of(run).data.open("test")
    (tmp_path / "pictures").mkdir()
    for number in range(3):  # three times as large, which a localizer sees in the size that it knows
        Image.fromarray(source[number]["image"].repeat(3, 0).repeat(3, 1)).save(tmp_path / "pictures" / f"{number}.png")
    assert main(["predict", str(run.path), str(tmp_path / "pictures"), "--out", str(tmp_path / "out")]) == 0
    task, model, variables, _ = open_predictor(str(run.path))
    read = [read_raster(tmp_path / "pictures" / f"{number}.png") for number in range(3)]
    in_memory: Any = task.predictions.of_images(model, variables, read, Options())
    objects: Any = task.predictions.tells.objects
    coco = COCO(tmp_path / "out" / "boxes.json")
    assert {category["name"] for category in coco.loadCats(coco.getCatIds())} == {"red", "blue"}
    right, agree = 0, []
    for number, picture in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
        assert (picture["file_name"], picture["width"], picture["height"]) == (f"{number}.png", 72, 72)
        (found,) = coco.loadAnns(coco.getAnnIds(picture["id"]))
        truth = source[number]
        (of_memory,) = objects.rows(in_memory[number].objects)
        assert found["bbox"] == of_memory["box"]
        assert found["category_id"] == truth["labels"][0] + 1
        right += np.abs(np.array(found["bbox"]) - 3 * truth["boxes"][0]).max() < 6
        assert (tmp_path / "out" / f"{number}_boxes.png").exists()
        assert (tmp_path / "out" / f"{number}_overlay.png").exists()
        with Image.open(tmp_path / "out" / f"{number}.png") as mask:
            assert mask.mode == "P"
            np.testing.assert_array_equal(mask, in_memory[number].mask)
            expected = truth["mask"].repeat(3, 0).repeat(3, 1)
            inside = np.array(mask)[expected > 0] == expected[expected > 0]
            agree.append((np.array(mask) == expected).mean())
            assert inside.mean() > 0.6
    assert right >= 2
    assert min(agree) > 0.9
    capsys.readouterr()
    assert main(["predict", str(run.path), str(tmp_path / "pictures"), "--out", str(tmp_path), "--tile", "256"]) == 1
    assert "a run on squares finds the mask and the box of one object: leave --tile out." in capsys.readouterr().err
    assert main(["predict", str(run.path), str(tmp_path / "pictures"), "--out", str(tmp_path), "--score", "1.5"]) == 1
    assert "--score is 1.5: a score is between 0 and 1." in capsys.readouterr().err
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (72, 72))
    for _ in range(2):
        writer.write(source[0]["image"].repeat(3, 0).repeat(3, 1)[..., ::-1].copy())
    writer.release()
    assert (
        main(["predict", str(run.path), "--video", str(tmp_path / "in.avi"), "--out", str(tmp_path / "out.avi")]) == 0
    )
    there, frame = cv2.VideoCapture(str(tmp_path / "out.avi")).read()
    assert there
    assert frame.shape == (576, 576, 3)  # drawn larger, for what is written beside the box
