from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.islands import command, constant_answer, finished, row_of
from segjax.errors import ExperimentError
from segjax.runs import read_experiment
from segjax.runs.seeds import create_runs, open_runs


def records(boxes: list[list[float]], labels: list[int]) -> Any:
    return [
        {"image": np.zeros((8, 8, 3), np.uint8), "boxes": np.array([box], np.float32), "labels": np.array([label])}
        for box, label in zip(boxes, labels, strict=True)
    ]


def test_a_constant_answer_is_the_mean_box_and_the_commonest_class():
    train = records([[0, 0, 2, 4], [2, 0, 2, 4], [4, 6, 8, 4]], [1, 1, 0])  # mean (2, 2, 4, 4), class 1
    test = records([[2, 2, 4, 4], [2, 2, 4, 8], [4, 2, 4, 4], [2, 2, 4, 4]], [1, 1, 1, 0])  # IoU 1, 1/2, 1/3, 1
    found = constant_answer(train, test, 2)
    assert found.mean_iou == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    assert found.box_accuracy == pytest.approx(3 / 4)
    assert found.class_accuracy == pytest.approx(3 / 4)
    assert found.localization_accuracy == pytest.approx(2 / 4)


def seeds_of(folder: Path, arguments: list[str], accuracies: list[float]) -> Path:
    """What two seeds leave behind, as far as the benchmark looks at it."""
    file = read_experiment("islands")
    runs = create_runs(folder, file, file.knobs(arguments), range(len(accuracies)))
    for run, accuracy in zip(runs, accuracies, strict=True):
        names = ("localization_accuracy", "mean_iou", "box_accuracy", "class_accuracy")
        report = {"test": dict.fromkeys(names, accuracy), "train_seconds": 90.0, "parameters": 1234}
        run.write_json("report.json", report)
    (folder / "report.json").write_text("{}")
    return folder


def test_a_row_has_intervals_over_seeds_and_the_command(tmp_path: Path):
    seeds_of(tmp_path / "sweep" / "way=mask", ["--way", "mask", "--batch-size", "8"], [0.6, 0.8])
    seeds_of(tmp_path / "sweep" / "way=regress", ["--way", "regress"], [0.5, 0.5])
    (tmp_path / "sweep" / "results.jsonl").write_text("")
    mask, regress = finished(tmp_path / "sweep")
    row = row_of(open_runs(mask))
    assert row[:3] == ["mask", "1,234", "0.700 ± 1.271"]  # 12.706, Student's t of one degree, times 0.1
    assert row[-2] == "1.5 min, 2 seeds"
    expected = "segjax train islands --way mask --batch-size 8 --seeds 0,1"
    assert row[-1] == f"`{expected}`"
    arguments = expected.removeprefix("segjax train islands ").removesuffix(" --seeds 0,1").split()
    file = read_experiment("islands")
    assert file.build(file.knobs(arguments)).batch_size == 8
    assert command(open_runs(regress)).endswith("--way regress --seeds 0,1")
    assert row_of(open_runs(regress))[2] == "0.500 ± 0.000"


def test_runs_that_are_not_finished_or_of_something_else_get_one_sentence(tmp_path: Path, squares: Path):
    with pytest.raises(ExperimentError, match=r"nowhere holds no report\.json: let the training finish"):
        finished(tmp_path / "nowhere")
    file = read_experiment(squares)
    runs = create_runs(tmp_path / "other", file, file.knobs(), (0,))
    with pytest.raises(ExperimentError, match=r"is a run of squares: name runs of islands"):
        row_of(runs)
