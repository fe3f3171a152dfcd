import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from squares import bits, run_squares

from segjax.cli import main
from segjax.data.formats.mask_files import read_mask
from segjax.runs import create_run, experiment_of
from segjax.runs.load import evaluate_run
from segjax.runs.saved import open_predictor
from segjax.tasks import Options
from segjax.train import Interrupted, Run, train


def test_a_run_that_is_stopped_while_it_scores_begins_with_that_when_it_goes_on(squares: Path, tmp_path: Path):
    straight = run_squares(squares, tmp_path / "straight", steps=20, evaluate_every=10)
    stopped_while_it_scores(straight, squares, tmp_path / "validation", 5, 10, ["train"])
    stopped_while_it_scores(straight, squares, tmp_path / "test", 7, 20, ["train", "val", "train", "val"])


def stopped_while_it_scores(
    straight: Run, squares: Path, folder: Path, records: int, step: int, written: list[str]
) -> None:
    """The signal comes while the split of that many records is read for the first time, in its first batch."""
    text = squares.read_text()
    stopping = text.replace(
        "        return self.records[index]",
        f"        if len(self.records) == {records} and index == 3:\n"
        "            import os, signal\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        return self.records[index]",
    )
    file = squares.with_name("stopping.py")
    file.write_text(stopping)
    run = create_run(folder, file, {"steps": 20, "evaluate_every": 10}, {})
    with pytest.raises(Interrupted, match=f"Stopped at step {step}"):
        train(experiment_of(run), run)
    assert [sorted(row) for row in run.metrics()] == [sorted(["step", kind]) for kind in written]
    assert not (run.path / "report.json").exists()
    (run.path / "experiment.py").write_text(text)
    train(experiment_of(run), run)
    assert bits(run) == bits(straight)
    assert run.metrics() == straight.metrics()


def test_a_checkpoint_is_saved_before_it_is_scored(squares: Path, tmp_path: Path):
    stopping = squares.read_text().replace(
        "        return self.records[index]",
        "        assert len(self.records) != 5, 'the validation split is read'\n        return self.records[index]",
    )
    squares.write_text(stopping)
    run = create_run(tmp_path / "run", squares, {"steps": 20, "evaluate_every": 10}, {})
    with pytest.raises(AssertionError, match="the validation split is read"):
        train(experiment_of(run), run)
    end = time.monotonic() + 30
    while not (run.checkpoints / "10").exists():  # it is written in the background
        assert time.monotonic() < end
        time.sleep(0.01)


SPOILING = "optax.adam(lambda n: learning_rate - 30 * learning_rate * (n >= 30))"
"""From step 30 on it climbs, and unlearns: the best checkpoint is not among the last."""


def scores_of(run: Run) -> dict[int, float]:
    return {row["step"]: row.get("ema", row["val"])["miou"] for row in run.metrics() if "val" in row}


def test_the_best_checkpoint_outlives_the_last_ones(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    squares.write_text(squares.read_text().replace("optax.adam(learning_rate)", SPOILING))
    run = run_squares(squares, tmp_path / "run", steps=50, evaluate_every=10)
    scores = scores_of(run)
    best = max(scores, key=lambda step: (scores[step], step))
    assert best <= 30, scores
    kept = {int(folder.name) for folder in run.checkpoints.iterdir() if folder.name.isdigit()}
    assert kept == {best, 40, 50}
    assert main(["evaluate", str(run.path), "--checkpoint", "best", "--split", "val", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["steps"], said["val"]["miou"]) == (best, scores[best])


@pytest.mark.parametrize("ema", [None, 0.5])
def test_patience_ends_a_run_that_predicts_with_its_best_checkpoint(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ema: float | None
):
    squares.write_text(squares.read_text().replace("optax.adam(learning_rate)", SPOILING))
    run = run_squares(squares, tmp_path / "run", steps=90, evaluate_every=10, patience=3, ema=ema)
    scores = scores_of(run)
    values = list(scores.values())
    first_best = values.index(max(values))
    assert len(values) == first_best + 1 + 3 < 9, values
    best = max(scores, key=lambda step: (scores[step], step))
    assert best < max(scores)
    report = json.loads((run.path / "report.json").read_text())
    assert (report["checkpoint"], report["steps"], report["ema" if ema else "val"]["miou"]) == (
        "best",
        best,
        scores[best],
    )
    assert run.metrics()[-1] == {"step": max(scores), "checkpoint": best, "test": report["test"]}
    assert main(["evaluate", str(run.path), "--json"]) == 0  # and so does whoever loads it
    said = json.loads(capsys.readouterr().out)
    assert said == {key: report[key] for key in ("test", "steps", "train_seconds")}

    before = {file: (run.path / file).read_bytes() for file in ("metrics.jsonl", "report.json")}
    assert train(experiment_of(run), run) == report["test"]  # it has ended, and stays so
    assert {file: (run.path / file).read_bytes() for file in before} == before


def test_patience_does_not_count_looks_without_a_score_and_says_so(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    unlabelled = "            mask[0, 0] = 255\n            if seed == 2:\n                mask[:] = 255\n"
    squares.write_text(squares.read_text().replace("            mask[0, 0] = 255\n", unlabelled))
    run = run_squares(squares, tmp_path / "run", steps=8, evaluate_every=2, patience=1)
    said = " ".join(capsys.readouterr().err.split())
    sentence = "The miou of the validation split is undefined after step 2: it has nothing there that could be scored."
    assert said.count("is undefined after step") == said.count(sentence) == 1
    assert [row["step"] for row in run.metrics() if "val" in row] == [2, 4, 6, 8]
    report = run.report()
    assert (report["checkpoint"], report["steps"], report["val"]["miou"]) == ("last", 8, None)


def test_a_run_that_has_ended_is_tested_again_where_it_predicts_with_another_checkpoint(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    squares.write_text(squares.read_text().replace("optax.adam(learning_rate)", SPOILING))
    run = Run(tmp_path / "run")
    assert main(["train", str(squares), "--out", str(run.path), "--steps", "50", "--evaluate-every", "10"]) == 0
    last, tested = run.report(), [50]
    for patience, checkpoint in (("9", "best"), ("None", "last")):
        capsys.readouterr()
        assert main(["train", "--resume", str(run.path), "--patience", patience]) == 0
        report = run.report()
        scores = scores_of(run)
        step = {"best": max(scores, key=lambda step: (scores[step], step)), "last": 50}[checkpoint]
        assert (report["checkpoint"], report["steps"], report["val"]["miou"]) == (checkpoint, step, scores[step])
        assert evaluate_run(run.path) == {key: report[key] for key in ("test", "steps", "train_seconds")}
        assert f"miou {report['test']['miou']:.3f}" in " ".join(capsys.readouterr().out.split())
        assert report["images_per_second"] == last["images_per_second"]  # of when it was trained
        tested += [step] if step not in tested else []
    assert report == last
    assert [row["checkpoint"] for row in run.metrics() if "test" in row] == tested  # each once
    assert len(tested) == 2


def test_thresholds_of_the_validation_split_are_kept_and_used(squares: Path, tmp_path: Path):
    """By the test split, `evaluate` and `predict`, for the weights that they were chosen for: here the averages."""
    text = squares.read_text().replace("nn.Conv(2, (1, 1)", "nn.Conv(1, (1, 1)")
    text = text.replace("loss=losses.cross_entropy", "loss=losses.binary_cross_entropy, task=SigmoidSegmentation")
    squares.write_text(
        text.replace("from segjax.train", "from segjax.tasks import SigmoidSegmentation\nfrom segjax.train")
    )
    run = run_squares(squares, tmp_path / "run", steps=3, evaluate_every=3, ema=0.8)
    report = run.report()
    kept = report["ema"]["threshold"]
    assert kept != report["val"]["threshold"]
    assert report["test"]["threshold"] == kept != {"square": 0.5}
    assert evaluate_run(run.path)["test"] == report["test"]
    record = experiment_of(run).data.open("test")[0]
    Image.fromarray(record["image"]).save(tmp_path / "a.png")
    task, model, variables, _ = open_predictor(str(run.path))
    task.predictions.write_files(model, variables, [tmp_path / "a.png"], tmp_path / "out", Options(probabilities="npy"))
    shares = np.load(tmp_path / "out" / "a_probabilities.npy")
    np.testing.assert_array_equal(read_mask(tmp_path / "out" / "a.png"), shares[..., 1] >= kept["square"])
