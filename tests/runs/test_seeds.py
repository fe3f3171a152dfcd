import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy import stats

import segjax
from segjax.cli import main
from segjax.runs.seeds import Interval
from segjax.train import Run


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The exit code of a command and what it printed, in this process, which has traced most of it before."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, "".join(capsys.readouterr())

    return run


def bits(folder: Path) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(segjax.load(folder)[1])]


def test_seeds_side_by_side_are_the_runs_they_would_be_alone(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    knobs = ["--steps", "20", "--evaluate-every", "10"]
    assert main(["train", str(squares), "--seeds", "3,1", "--out", str(tmp_path / "both"), *knobs]) == 0
    said = capsys.readouterr().out
    for seed in (3, 1):
        alone, together = tmp_path / f"alone{seed}", tmp_path / "both" / f"seed{seed}"
        assert main(["train", str(squares), "--seed", str(seed), "--out", str(alone), *knobs]) == 0
        assert (together / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()
        assert bits(together) == bits(alone)
    report = json.loads((tmp_path / "both" / "report.json").read_text())
    scores = [json.loads((tmp_path / "both" / f"seed{n}" / "report.json").read_text())["test"]["miou"] for n in (1, 3)]
    half_width = report["test"]["miou"]["half_width"]
    assert report["test"]["miou"]["mean"] == pytest.approx(np.mean(scores))
    assert f"miou {np.mean(scores):.3f} ± {half_width:.3f}" in said
    assert (tmp_path / "both" / "curves.png").stat().st_size > 1000

    # Stopped at different steps, they go on from the same one.
    before = {seed: bits(tmp_path / "both" / f"seed{seed}") for seed in (3, 1)}
    shutil.rmtree(tmp_path / "both" / "seed1" / "checkpoints" / "20")  # killed between the two savings
    assert main(["train", "--resume", str(tmp_path / "both")]) == 0
    assert {seed: bits(tmp_path / "both" / f"seed{seed}") for seed in before} == before
    assert [row["step"] for row in Run(tmp_path / "both" / "seed3").metrics()] == [10, 10, 20, 20, 20]


def test_seeds_whose_patience_ends_at_different_steps_are_the_runs_they_would_be_alone(
    squares: Path, tmp_path: Path, command: Callable[..., tuple[int, str]]
):
    knobs = ("--steps", "60", "--evaluate-every", "5", "--patience", "2", "--learning-rate", "0.1")
    code, said = command("train", squares, "--seeds", "0,1", "--out", tmp_path / "both", *knobs)
    assert code == 0, said
    ends = {}
    for seed in (0, 1):
        alone, together = tmp_path / f"alone{seed}", tmp_path / "both" / f"seed{seed}"
        code, said = command("train", squares, "--seed", str(seed), "--out", alone, *knobs)
        assert code == 0, said
        assert (together / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()
        assert bits(together) == bits(alone)
        ends[together] = Run(alone).metrics()[-1]["step"]
    assert len(set(ends.values())) == 2, ends
    assert max(ends.values()) < 60, ends
    assert (tmp_path / "both" / "curves.png").stat().st_size > 1000

    # As if killed while the one that goes on longer was alone.
    before = {run: (run / "metrics.jsonl").read_bytes() for run in ends}
    longer = max(ends, key=lambda run: ends[run])
    shutil.rmtree(longer / "checkpoints" / str(ends[longer]))
    code, said = command("train", "--resume", tmp_path / "both")
    assert code == 0, said
    assert {run: (run / "metrics.jsonl").read_bytes() for run in before} == before


def test_seeds_that_ended_at_different_steps_go_on_each_from_its_own(
    squares: Path, tmp_path: Path, command: Callable[..., tuple[int, str]]
):
    knobs = ("--steps", "10", "--evaluate-every", "1", "--patience", "1", "--learning-rate", "0.1")
    code, said = command("train", squares, "--seeds", "3,4,6", "--out", tmp_path / "both", *knobs)
    assert code == 0, said
    together = [tmp_path / "both" / f"seed{seed}" for seed in (3, 4, 6)]
    alone = [shutil.copytree(run, tmp_path / run.name) for run in together]
    ends = [Run(run).metrics()[-1]["step"] for run in together]
    assert max(ends) - min(ends) > 2, ends  # two checkpoints are kept, so that no step has one of all

    before = {run: (run / "metrics.jsonl").read_bytes() for run in together}
    (damaged,) = (together[1] / "checkpoints" / str(ends[1]) / "variables").glob("_METADATA")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:10])
    code, said = command("train", "--resume", tmp_path / "both", "--patience", "20")
    assert (code, "seed4/checkpoints" in said) == (1, True), said
    assert {run: (run / "metrics.jsonl").read_bytes() for run in together} == before
    damaged.write_bytes(whole)

    code, said = command("train", "--resume", tmp_path / "both", "--steps", str(ends[0] + 1))
    assert (code, "steps already: give --steps more than that." in said) == (1, True), said
    assert {Run(run).configuration()["knobs"]["steps"] for run in together} == {10}  # of none, as seed4 has taken more

    code, said = command("train", "--resume", tmp_path / "both", "--patience", "20")
    assert code == 0, said
    for run, one in zip(together, alone, strict=True):
        code, said = command("train", "--resume", one, "--patience", "20")
        assert code == 0, said
        assert (run / "metrics.jsonl").read_bytes() == (one / "metrics.jsonl").read_bytes()
        assert bits(run) == bits(one)
        assert (run / "metrics.jsonl").read_bytes().startswith(before[run])
        assert Run(run).metrics()[-1]["step"] == 10


def test_the_interval_is_students():
    values = [0.71, 0.74, 0.705, 0.73]
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    mean, half_width = Interval.of(values)
    assert (mean, half_width) == (pytest.approx(np.mean(values)), pytest.approx((expected[1] - expected[0]) / 2))
    assert Interval.of([0.5, None]) == (0.5, None)
    assert str(Interval.of([None, None])) == "undefined"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "1,1"], "The seeds 1, 1 are not different; name each once."),
        (["--seeds", "1,2", "--steps", "none"], "Error parsing --steps"),
        (["--seeds", "1,2", "--seed", "3"], "The knob seed and --seeds say the same; leave one of them out."),
        (["--seeds", "1,2", "--seed=3"], "The knob seed and --seeds say the same; leave one of them out."),
    ],
)
def test_wrong_seeds_get_one_sentence(
    squares: Path, tmp_path: Path, arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert main(["train", str(squares), "--out", str(tmp_path / "run"), *arguments]) == 1
    assert sentence in capsys.readouterr().err


def test_a_run_goes_on_with_what_it_is_and_with_other_knobs_of_how_it_is_trained(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = str(tmp_path / "run")
    assert main(["train", str(squares), "--steps", "4", "--out", run]) == 0
    assert main(["train", "--resume", run, "--steps", "4"]) == 0
    assert main(["train", "--resume", run, "--width", "5", "--learning-rate", "0.5"]) == 1
    said = capsys.readouterr().err
    assert f"{run} goes on as it began: width was 8, not 5. " in said
    assert "what may change is steps, learning_rate, accumulate, evaluate_every, patience." in said
    assert main(["train", "--resume", run, "--steps", "3"]) == 1
    assert f"{run} has taken 4 steps already: give --steps more than that." in capsys.readouterr().err
    assert main(["train", "--resume", run, "--steps", "6", "--learning-rate", "0.01"]) == 0
    kept = json.loads(Path(run, "run.json").read_text())
    assert (kept["knobs"]["steps"], kept["knobs"]["learning_rate"]) == (6, 0.01)
    assert kept["changes"] == [{"step": 4, "knobs": {"steps": 6, "learning_rate": 0.01}}]
    rows = [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "test" in row] == [4, 6]  # the test split is read again, at the new end
    assert json.loads(Path(run, "report.json").read_text())["steps"] == 6
