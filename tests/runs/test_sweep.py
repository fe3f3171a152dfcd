import json
import signal
import sys
import time
from pathlib import Path

import pytest
from forks import Forks

from segjax.cli import main
from segjax.launch.sweep import run_here
from segjax.runs.sweep import Combination, Sweep, _draw
from segjax.train import ExperimentError, Run

# Once, in some step of the second of the combinations: kills the sweep, and has time until that ends this run, too.
KILL = """
        if self.size == 12 and next(self.reads) == 90 and MARK.exists():
            MARK.unlink()
            self.pause = 0.1
            os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(self.pause)
        return self.records[index]"""


def wait_until_free(run: Run) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            with run.in_use():
                return
        except ExperimentError:
            assert time.monotonic() < end, "it goes on alone"
            time.sleep(0.05)


def test_every_combination_is_trained_once_and_a_killed_sweep_goes_on(squares: Path, tmp_path: Path, forks: Forks):
    mark = tmp_path / "mark"
    mark.touch()
    text = squares.read_text().replace("\n        return self.records[index]", KILL)
    counting = "        self.size, self.pause, self.reads = size, 0, itertools.count()\n"
    text = text.replace("        self.records = []\n", f"        self.records = []\n{counting}")
    squares.write_text(
        f"import itertools, os, signal, time\nfrom pathlib import Path\nMARK = Path({str(mark)!r})\n{text}"
    )
    out = tmp_path / "sweep"
    command = ["sweep", squares, "--out", out, "--learning-rate", "1e-3,-1", "--train-size", "10,12", "--steps=20"]
    command += ["--seeds", "0,1", "--devices", "1"]
    code, said = forks.run(*command)
    assert code == 128 + signal.SIGKILL, said
    assert not mark.exists()
    first, *rest = [out / f"learning_rate={rate},train_size={size}" for rate in ("0.001", "-1.0") for size in (10, 12)]
    assert (first / "report.json").exists()
    finished = (first / "report.json").stat().st_mtime_ns
    wait_until_free(Run(rest[0] / "seed0"))
    (saved,) = (rest[0] / "seed0" / "checkpoints").iterdir()  # it was asked to stop
    assert int(saved.name) < 20

    for folder in rest[1:]:  # by the command that a sweep starts, in a fork, which has imported all
        code, said = forks.run("train", "--resume", folder)
        assert code == 0, said
    code, said = forks.run(*command)
    assert code == 0, said
    assert (first / "report.json").stat().st_mtime_ns == finished
    assert "[1/1] learning_rate 0.001, train_size 12" in said

    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [row["varied"] for row in rows] == [
        {"learning_rate": rate, "train_size": size} for rate in ("0.001", "-1.0") for size in ("10", "12")
    ]
    for row, folder in zip(rows, (first, *rest), strict=True):
        scores = [json.loads((folder / f"seed{seed}" / "report.json").read_text())["test"] for seed in (0, 1)]
        assert row["scores"] == scores
        assert row["knobs"]["steps"] == 20
        mean = sum(score["miou"] for score in scores) / 2
        # Student's t for one degree of freedom, and the deviation of a mean of two.
        width = 12.7062 * abs(scores[0]["miou"] - scores[1]["miou"]) / 2
        assert row["test"]["miou"] == pytest.approx({"mean": mean, "half_width": width}, rel=1e-4)
        validated = [json.loads((folder / f"seed{seed}" / "report.json").read_text())["val"] for seed in (0, 1)]
        assert row["val_scores"] == validated
        assert row["val"]["miou"]["mean"] == pytest.approx(sum(score["miou"] for score in validated) / 2)
    table = (out / "sweep.md").read_text()
    assert "4 of 4 combinations" in table
    means = [row["val"]["miou"]["mean"] for row in rows]  # the test split is not to choose by
    best = max(means)
    assert f"| **{best:.3f} ± " in table
    assert table.count("**") == 2 * means.count(best)  # of two that are as good both are bold
    assert means.count(best) < len(means)
    assert table.partition("\n\n")[2].strip() in said
    assert (out / "sweep.png").stat().st_size > 5000

    code, said = forks.run(*command)
    assert code == 0, said
    assert "[1/" not in said  # nothing is run again
    code, said = forks.run(*command[:-5], "--steps", "7", *command[-4:])
    assert code == 1
    assert said.splitlines()[-1] == (
        f"segjax: {first} was made with steps 20, not 7; "
        "repeat the sweep with the same values, or give --out another name."
    )


def test_a_combination_that_fails_is_reported_and_the_others_go_on(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    squares.write_text(squares.read_text().replace("batch_size=4", "batch_size=width"))
    out = tmp_path / "sweep"
    command = ["sweep", str(squares), "--out", str(out), "--accumulate", "3", "--width", "4,9", "--steps", "2"]
    assert main(command) == 1
    said = capsys.readouterr()
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert rows[0]["missing"] == "batch_size is 4, which accumulate = 3 parts cannot share evenly."
    assert rows[1]["test"]["miou"]["mean"] > 0
    assert rows[1]["test"]["miou"]["half_width"] is None
    assert f"| 4 | {rows[0]['missing']} |" in said.out
    assert "2 combinations" in (out / "sweep.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--width", "4,eight"], r"squares\.py: .*eight"),
        (["--depth", "4,5"], r"squares\.py: .*depth"),
        (["--width", "4,4"], r"The sweep has width 4 twice; name each value once"),
        (["--width", "4", "--width", "5"], r"--width is there twice; name its values once, with commas between them"),
        (["4,5"], r"4,5 belongs to no knob; write --knob 4,5"),
    ],
)
def test_a_wrong_sweep_is_refused_before_anything_starts(
    squares: Path, tmp_path: Path, arguments: list[str], sentence: str
):
    with pytest.raises(ExperimentError, match=sentence):
        Sweep.plan(squares, arguments, tmp_path / "sweep", [0])
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("several", [["sweep", "--width", "4,8"], ["train", "--seeds", "0,1"]])
def test_several_runs_are_not_written_into_one(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], several: list[str]
):
    (tmp_path / "run.json").write_text("{}")
    there = sorted(tmp_path.iterdir())
    command, *knobs = several
    assert main([command, str(squares), *knobs, "--out", str(tmp_path)]) == 1
    assert "is a run itself: give --out another name" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == there


def test_a_sweep_goes_on_with_its_own_file_and_its_own_seeds(squares: Path, tmp_path: Path):
    def plan(*seeds: int) -> Sweep:
        return Sweep.plan(squares, ["--width", "4,5"], tmp_path / "sweep", seeds or None)

    assert plan(1, 0).prepare() == {}
    assert plan(0, 1).prepare() == {}
    for seeds, said in (
        {(0, 1, 2): "seeds 0, 1, not 0, 1, 2", (0,): "seeds 0, 1, not 0", (): "seeds 0, 1, not 0"}
    ).items():
        with pytest.raises(ExperimentError, match=f"width=4 was made with {said}; repeat the sweep"):
            plan(*seeds).prepare()
    squares.write_text(squares.read_text().replace("optax.adam", "optax.sgd"))
    with pytest.raises(ExperimentError, match=r"was made by another experiment file than .* is now: put back what it"):
        plan(0, 1).prepare()


def test_long_values_have_folders_and_two_that_would_share_one_are_named(tmp_path: Path):
    file = tmp_path / "knobs.py"
    file.write_text("from segjax.train import Experiment\ndef experiment(name: str = 'a') -> Experiment: ...\n")
    ways = [f"/{'ü' * 200}/{end}" for end in "ab"]
    folders = [one.folder for one in Sweep.plan(file, ["--name", ",".join(ways)], tmp_path, None).combinations]
    for folder in folders:
        folder.with_name(f".{folder.name}.partial").mkdir()
    assert len({*folders}) == 2
    with pytest.raises(ExperimentError, match=r"name a/b and name a_b would have one folder, .*name=a_b: write one of"):
        Sweep.plan(file, ["--name", "a/b,a_b"], tmp_path, None)


def test_words_flags_and_lists_can_be_varied(tmp_path: Path):
    file = tmp_path / "knobs.py"
    file.write_text(
        "from segjax.train import Experiment\n"
        "def experiment(name: str = 'a', flag: bool = False, widths: tuple[int, ...] = (1,), rate: float = 1.0)"
        " -> Experiment: ..."
    )
    arguments = ["--name", "a/b,c", "--flag", "true,false", "--widths", "8", "16,32", "--rate", "-1e-3"]
    combinations = Sweep.plan(file, arguments, tmp_path, None).combinations
    assert [tuple(one.knobs.values()) for one in combinations] == [
        (name, flag, widths, -1e-3) for name in ("a/b", "c") for flag in (True, False) for widths in ((8, 16), (32,))
    ]
    assert combinations[0].folder == tmp_path / "name=a_b,flag=True,widths=8_16"
    assert str(combinations[-1]) == "name c, flag False, widths 32"


def test_a_sweep_that_is_asked_to_stop_passes_it_on_and_stops(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    waiting = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', file=sys.stderr), sys.exit(143)))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(60)"
    )
    combinations = [Combination(tmp_path / name, {}, {"name": name}) for name in "ab"]
    began = time.monotonic()
    with pytest.raises(SystemExit) as stopped:
        run_here(lambda _: [sys.executable, "-c", waiting], combinations)
    assert stopped.value.code == 143
    assert time.monotonic() - began < 30
    said = capfd.readouterr().err.splitlines()
    assert said[-2:] == ["saved", "The sweep was stopped; the same command with the same --out goes on."]
    assert "[2/2] name b" not in said


def test_values_beside_the_lines_of_a_sweep_are_no_formulas(tmp_path: Path):
    row = {
        "varied": {"root": "$x^$"},
        "val_scores": [{"miou": 0.5}],
        "val": {"miou": {"mean": 0.5, "half_width": None}},
    }
    _draw(tmp_path, [row | {"scores": [{}]}], "miou")
    assert (tmp_path / "sweep.png").stat().st_size > 5000
