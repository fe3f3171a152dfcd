# NumPy arrays stand in for those of jax.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Tasks of boxes: their scores, and runs from training to prediction."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image
from pycocotools.coco import COCO

import segjax
from segjax import data as segdata
from segjax.cli import main
from segjax.data import Dataset
from segjax.models import Detections
from segjax.runs import create_run, experiment_of
from segjax.tasks import Detection, Localization, MultiTask, detection
from segjax.train import train

COLOURED = '''
"""Coloured squares on a dark ground, of which some pictures have several."""

import numpy as np
import optax

from segjax import losses, models
from segjax.data import Dataset
from segjax.decoders import UNetDecoder
from segjax.encoders import ConvEncoder
from segjax.layers import Normalized
from segjax.upsampling import Bilinear
from segjax.tasks import Detection, MultiTask
from segjax.train import Experiment
from segjax.train import Experiment

STAGES = ((8,), (12,), (16,))


def squares(size, seed, most):
    rng = np.random.default_rng(seed)
    records = []
    for number in range(size):
        image, mask = rng.integers(0, 40, (24, 24, 3)), np.zeros((24, 24), np.uint8)
        boxes, labels = [], []
        for place in rng.permutation(2)[: number % (most + 1) if most > 1 else 1]:
            side, label = rng.integers(5, 10), rng.integers(2)
            x, y = rng.integers(0, 12 - side + 1) + 12 * place, rng.integers(0, 24 - side + 1)
            image[y : y + side, x : x + side, 2 * label] += 200
            mask[y : y + side, x : x + side] = label + 1
            boxes.append((x, y, side, side))
            labels.append(label)
        record = {"image": image.astype(np.uint8), "boxes": np.array(boxes, np.float32).reshape(-1, 4)}
        record |= {"labels": np.array(labels, np.int32), "crowd": np.zeros(len(boxes), bool)}
        records.append(record | ({"mask": mask} if most == 1 else {}))
    return records


def experiment(many: bool = False, steps: int = 300, seed: int = 0) -> Experiment:
    """Where the squares are."""
    most = 2 if many else 1
    encoder = ConvEncoder(STAGES)
    if many:
        model = models.CenterNet(2, encoder, UNetDecoder(STAGES[1:-1], Bilinear, finest_stride=2), hidden=8)
    else:
        model = models.MultiTask(
            2,
            encoder,
            mask=models.MaskBox(3, UNetDecoder(STAGES[:-1], Bilinear)),
            box=models.ExtremePointBox(UNetDecoder(STAGES[1:-1], Bilinear, finest_stride=2)),
        )

    def of_many(found, truth):
        targets = found.targets(truth.boxes, truth.labels, truth.crowd)
        return losses.center_loss(found.heatmap, found.size, found.offset, targets)

    def of_one(found, truth):
        return losses.uncertainty_weighted_sum(
            {
                "mask": losses.cross_entropy(found.mask, truth.mask),
                "box": losses.giou_loss(found.box, truth.box, truth.label >= 0),
                "class": losses.cross_entropy(found.logits[:, None, None], truth.label[:, None, None]),
            },
            {name: values.mean() for name, values in found.log_variances.items()},
        )

    return Experiment(
        model=Normalized(model, mean=(0.2,) * 3, std=(0.3,) * 3),
        data=Dataset(
            "squares", ("red", "blue"), ((230, 60, 40), (40, 60, 230)),
            lambda split: squares(*{"train": (96, 0), "val": (5, 2), "test": (7, 1)}[split], most),
        ),
        task=Detection if many else lambda data: MultiTask(data, size=(24, 24)),
        loss=of_many if many else of_one,
        optimizer=optax.adam(optax.cosine_onecycle_schedule(steps, 1e-2)),
        steps=steps,
        batch_size=8,
        evaluate_every=steps,
        seed=seed,
    )
'''
DATA = Dataset("two", ("a", "b"), ((255, 0, 0), (0, 255, 0)), lambda split: [])


class Located(NamedTuple):
    box: np.ndarray
    logits: np.ndarray


class Several(NamedTuple):
    found: Detections

    def detections(self, max_boxes: int) -> Detections:
        return self.found


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    path = tmp_path / "coloured.py"
    path.write_text(COLOURED)
    return path


def record(boxes: Any, labels: Any, crowd: Any = None) -> Any:
    return {
        "image": np.zeros((16, 16, 3), np.uint8),
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
        "labels": np.array(labels, np.int32),
        "crowd": np.zeros(len(labels), bool) if crowd is None else np.array(crowd),
    }


def test_the_largest_box_that_is_no_crowd_is_the_object():
    records = [
        record([[0, 0, 2, 2], [1, 1, 4, 5], [0, 0, 9, 9]], [0, 1, 0], [False, False, True]),
        record([], []),
        record([[3, 3, 5, 5]], [0], [True]),
    ]
    (batch,) = segdata.test_batches(records, 4, max_boxes=3)
    truth = Localization(DATA).targets(batch)
    np.testing.assert_array_equal(truth.label, [1, -1, -1, -1])
    np.testing.assert_array_equal(truth.box[0], [1, 1, 4, 5])
    assert truth.mask is None


def test_localization_scores_count_each_object_once():
    records = [record([[2, 2, 4, 4]], [label]) for label in (0, 0, 1)]
    task = Localization(DATA)
    box = np.array([[2, 2, 4, 4], [2, 2, 4, 1], [2, 2, 4, 2]], np.float32)  # IoU 1, 1/4, 1/2
    logits = np.array([[1, 0], [1, 0], [1, 0]], np.float32)
    measured = []
    for number, batch in enumerate(segdata.test_batches(records, 2, max_boxes=1)):
        outputs = Located(np.resize(box[2 * number :], (2, 4)), np.resize(logits[2 * number :], (2, 2)))
        measured.append(np.asarray(task.measure(outputs, batch)))
    assert task.scores(measured) == {
        "localization_accuracy": pytest.approx(1 / 3),
        "mean_iou": pytest.approx(1.75 / 3),
        "box_accuracy": pytest.approx(2 / 3),
        "class_accuracy": pytest.approx(2 / 3),
        "accuracy": {"a": 0.5, "b": 0.0},
        "iou": {"a": pytest.approx(0.625), "b": pytest.approx(0.5)},
    }
    assert task.summary(sum(measured))["localization_accuracy"] == pytest.approx(1 / 3)
    nothing = task.scores([np.asarray(task.zero())])
    assert nothing["localization_accuracy"] is None
    assert nothing["iou"] == {"a": None, "b": None}


@pytest.mark.parametrize(("place", "expected"), [(0, 1.0), (1, 0.5), (2, 1.0)])
def test_what_is_found_where_there_is_no_record_is_not_counted(place, expected):
    """One image has an object, one has none, and one is not there: a wrong box counts in the first two alone."""
    records = [record([[2, 2, 6, 6]], [0]), record([], [])]
    (batch,) = segdata.test_batches(records, 3, max_boxes=2)
    boxes, scores = np.zeros((3, 2, 4), np.float32), np.zeros((3, 2), np.float32)
    labels = np.full((3, 2), -1)
    boxes[0, 0], scores[0, 0], labels[0, 0] = (2, 2, 6, 6), 0.8, 0
    # Right in the first image, a second time and worse; surer than the right one elsewhere.
    boxes[place, 1], scores[place, 1], labels[place, 1] = (2, 2, 6, 6), 0.9 if place else 0.7, 0
    task = Detection(DATA)
    found = Several(Detections(boxes, labels, scores, np.zeros((3, 2, 2))))
    score = task.scores([task.measure(found, batch)])
    assert score["ap50"] == pytest.approx(expected, abs=1e-6)
    assert score["class_ap50"]["b"] is None
    assert set(score) == {"ap50", "ap75", "ap", "ar", "class_ap50", "class_ap", "class_f1", "class_threshold"}


def test_boxes_are_drawn_from_the_score_that_is_best_for_their_class():
    class Fixed(nn.Module):
        @nn.compact
        def __call__(self, image, *, train):
            boxes = jnp.array([[[2, 2, 6, 6], [9, 9, 5, 5], [0, 9, 4, 4], [9, 0, 4, 4]]], jnp.float32)
            labels, scores = jnp.array([[0, 0, 1, 0]]), jnp.array([[0.2, 0.1, 0.25, 0.05]])
            return Several(Detections(boxes, labels, scores, jnp.zeros((1, 4, 2))))

    records = [record([[2, 2, 6, 6]], [0]), record([[2, 2, 6, 6]], [0]), record([], [])]
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            detection, "draw_box_predictions", lambda folder, source, predict, data: drawn.extend(predict(source))
        )
        Detection(DATA).draw_predictions(Path(), Fixed(), {}, records)
    # Of class 0 no box below 0.2 is right, and of class 1 none at all.
    found = ["1 of 1 found, 0 wrong", "1 of 1 found, 0 wrong", "0 of 0 found, 1 wrong"]
    assert [shown.caption for shown in drawn] == found
    assert [[line for note in shown.notes for line in note.lines] for shown in drawn] == [["a 0.20"]] * 3


def test_attributes_of_what_was_found_are_calibrated():
    data = Dataset("faces", ("face",), ((255, 0, 0),), lambda split: [], ("happy", "sad"))
    records: Any = [record([[0, 0, 4, 4], [8, 8, 4, 4]], [0, 0])]
    records[0]["attributes"] = np.array([[1.0, np.nan], [0.0, 0.5]], np.float32)
    (batch,) = segdata.test_batches(records, 1, max_boxes=3)
    boxes = np.array([[[8, 8, 4, 4], [0, 1, 4, 4], [0, 8, 4, 4]]], np.float32)
    found = Detections(
        boxes,
        np.zeros((1, 3), int),
        np.array([[0.9, 0.8, 0.7]], np.float32),
        np.ones((1, 3, 1), np.float32),
        np.array([[[0.25, 0.5], [0.75, 0.1], [0.9, 0.9]]], np.float32),
    )
    task = Detection(data)
    measured = {name: np.asarray(value) for name, value in task.measure(Several(found), batch).items()}
    # happy: 0.25 where 0 is true and 0.75 where 1 is; sad: 0.5 where 0.5 is, the other one is not known.
    assert task.scores([measured])["calibration_error"] == {"happy": pytest.approx(0.25), "sad": pytest.approx(0.0)}


def test_one_object_from_training_to_prediction(coloured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = create_run(tmp_path / "run", coloured, {}, {})
    scores = train(experiment_of(run), run)
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
    coco = COCO(tmp_path / "out" / "boxes.json")
    assert {category["name"] for category in coco.loadCats(coco.getCatIds())} == {"red", "blue"}
    right = 0
    for number, picture in enumerate(coco.loadImgs(sorted(coco.getImgIds()))):
        assert (picture["file_name"], picture["width"], picture["height"]) == (f"{number}.png", 72, 72)
        (found,) = coco.loadAnns(coco.getAnnIds(picture["id"]))
        truth = source[number]
        assert found["category_id"] == truth["labels"][0] + 1
        right += np.abs(np.array(found["bbox"]) - 3 * truth["boxes"][0]).max() < 6
        assert (tmp_path / "out" / f"{number}_boxes.png").exists()
    assert right >= 2
    capsys.readouterr()
    assert main(["predict", str(run.path), str(tmp_path / "pictures"), "--out", str(tmp_path), "--tile", "256"]) == 1
    assert "a run on squares finds boxes: leave --tile out." in capsys.readouterr().err
    assert main(["predict", str(run.path), str(tmp_path / "pictures"), "--out", str(tmp_path), "--score", "1.5"]) == 1
    assert "--score is 1.5: a score is between 0 and 1." in capsys.readouterr().err


def test_many_objects_are_learned_and_scored_with_the_images_that_have_none(coloured: Path, tmp_path: Path):
    run = create_run(tmp_path / "run", coloured, {"many": True, "steps": 150}, {})
    scores = train(experiment_of(run), run)
    assert scores["ap50"] > 0.95
    assert set(scores["class_ap50"]) == {"red", "blue"}
    rows = run.metrics()
    assert rows[0]["train"]["loss"] > 3 * rows[-2]["train"]["loss"]
    assert (run.path / "curves.png").exists()
    assert (run.path / "predictions.png").exists()
