"""The report of a run and of several, and what changed from one to another."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from segjax.cli import main
from segjax.runs.compare import interval_of_mean
from segjax.train import Run


def test_a_report_is_written_again_and_runs_are_compared(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "both"
    knobs = ["--steps", "4", "--evaluate-every", "4"]
    assert main(["train", str(squares), "--seeds", "0,1", "--out", str(folder), *knobs]) == 0
    one, other = folder / "seed0", folder / "seed1"
    written = (one / "report.html").read_text()
    rows = [json.loads(line) for line in (one / "per_image.jsonl").read_text().splitlines()]
    details = json.loads((one / "details.json").read_text())
    confusion = np.array(details["confusion"])
    assert len(rows) == details["total"] == 7
    assert confusion.sum() == 7 * 255  # a pixel of each is ignored
    test = Run(one).report()["test"]
    assert np.trace(confusion) / confusion.sum() == pytest.approx(test["pixel_accuracy"])
    assert "instead of 40" in written  # the default of steps

    capsys.readouterr()
    assert main(["report", str(one)]) == 0
    assert capsys.readouterr().out == f"{one / 'report.html'}\n"
    assert (one / "report.html").read_text() == written

    assert main(["compare", str(one), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = [[json.loads(line)["miou"] for line in (run / "per_image.jsonl").open()] for run in (one, other)]
    change = np.subtract(scores[1], scores[0])
    assert found["knobs"] == {"seed": [0, 1]}
    assert found["scores"]["iou/square"] == [Run(run).report()["test"]["iou"]["square"] for run in (one, other)]
    assert found["paired"]["images"] == 7
    assert found["paired"]["mean"] == pytest.approx(change.mean())
    assert [found["paired"]["low"], found["paired"]["high"]] == pytest.approx(interval_of_mean(change))
    assert main(["compare", str(one), str(other)]) == 0
    assert f"over the 7 that both were scored on: {change.mean():+.3f} on average" in capsys.readouterr().out

    page = tmp_path / "page.html"
    assert main(["report", str(folder), "--out", str(page)]) == 0
    mean, half_width = json.loads((folder / "report.json").read_text())["test"]["miou"].values()
    assert f"{mean:.3f} ± {half_width:.3f}" in page.read_text()

    shutil.rmtree(one / "checkpoints")
    (one / "checkpoints").mkdir()
    assert main(["report", str(one)]) == 0
    rebuilt = (one / "report.html").read_text()
    assert "Images are left out: " in rebuilt
    assert "<img" not in rebuilt
    assert "Calibration" in rebuilt
    (one / "per_image.jsonl").unlink()
    capsys.readouterr()
    assert main(["compare", str(one), str(other)]) == 0
    assert f"Not paired over images: {one} holds no scores of single images" in capsys.readouterr().out
    (one / "report.json").unlink()
    assert main(["report", str(one)]) == 1
    assert "holds no report.json yet" in capsys.readouterr().err


def test_runs_of_other_scores_are_no_seeds_of_one(tmp_path: Path):
    for seed, scores in enumerate(({"miou": 0.25, "iou": {"red": 0.25}}, {"f1": 0.125, "iou": {"blue": 0.375}})):
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "run.json").write_text(json.dumps({"knobs": {"seed": seed}}))
        report = {"test": scores, "checkpoint": "last", "steps": 1}
        (tmp_path / str(seed) / "report.json").write_text(json.dumps(report))
        (tmp_path / str(seed) / "metrics.jsonl").write_text("")
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(page)]) == 0
    assert all(value in page.read_text() for value in ("Of one seed each", "0.25", "0.125", "0.375"))


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says():
    rng = np.random.default_rng(1)
    values = rng.normal(0.1, 1, 400)
    low, high = interval_of_mean(values)
    half = 1.96 * values.std() / 20  # for so many values the bootstrap's is the normal one
    assert (low, high) == (pytest.approx(values.mean() - half, abs=0.01), pytest.approx(values.mean() + half, abs=0.01))
    assert interval_of_mean(values) == (low, high)


def test_means_over_other_classes_are_not_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, iou in {"one": {"red": 0.5}, "other": {"background": 0.9, "red": 0.5}}.items():  # a logit, and a softmax
        score = sum(iou.values()) / len(iou)
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps({"knobs": {}}))
        report = {"test": {"miou": score, "iou": iou}, "checkpoint": "last", "steps": 10}
        (tmp_path / name / "report.json").write_text(json.dumps(report))
        (tmp_path / name / "details.json").write_text(json.dumps({"headline": "miou"}))
        (tmp_path / name / "per_image.jsonl").write_text(json.dumps({"digest": "a", "miou": score, "iou": iou}) + "\n")
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "other")]) == 0
    assert "Not paired over images: miou is not of the same classes in both" in capsys.readouterr().out
    (tmp_path / "one" / "per_image.jsonl").write_text(json.dumps({"digest": "a", "miou": "high"}) + "\n")
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "other")]) == 1
    assert "per_image.jsonl is damaged (miou is 'high', and it must be a number or null)" in capsys.readouterr().err
