from pathlib import Path

import pytest

from segjax.errors import ExperimentError
from segjax.runs import create_run, open_run, read_experiment

KNOBS = '''
from typing import Literal
from segjax.train import Experiment

def experiment(steps: int = 600, rate: float = 0.1, upsample: Literal["nearest", "bilinear"] = "nearest",
               skips: bool = True, widths: tuple[int, ...] = (8, 16)) -> Experiment:
    """Knobs of every kind."""
    return {"steps": steps}["missing"]
'''


@pytest.fixture
def knobs(tmp_path: Path) -> Path:
    path = tmp_path / "knobs.py"
    path.write_text(KNOBS)
    return path


def test_defaults_are_filled_in_and_values_have_their_types(knobs: Path):
    given = ["--steps", "7", "--no-skips", "--widths", "4", "5", "6", "--upsample", "bilinear"]
    assert read_experiment(knobs).knobs(given) == {
        "steps": 7,
        "rate": 0.1,
        "upsample": "bilinear",
        "skips": False,
        "widths": (4, 5, 6),
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--stepz", "7"], r"knobs\.py: Unrecognized options: --stepz.*--steps INT"),
        (["--steps", "many"], r"knobs\.py: Error parsing --steps: .*'many'\. Expected --steps INT"),
        (["--rate", "fast"], r"knobs\.py: Error parsing --rate: .*'fast'"),
        (["--upsample", "cubic"], r"knobs\.py: cubic is no upsample; name one, such as bilinear or nearest\."),
        (["--steps"], r"knobs\.py: .*--steps"),
        (["7"], r"knobs\.py: Unrecognized options: 7"),
    ],
)
def test_a_wrong_knob_gets_one_sentence(knobs: Path, given: list[str], sentence: str):
    with pytest.raises(ExperimentError, match=sentence) as caught:
        read_experiment(knobs).knobs(given)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("--help` lists the knobs.")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def experiment(:\n", r"line 1: .*; mend it and run again"),
        ("\nimport nothing_of_this_name\n", r"line 2: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("import sys\nsys.exit()\n", r"wrong\.py, line 2: SystemExit$"),
        ("x = 1\n", "must hold exactly one function annotated `-> Experiment`, and holds none"),
        (
            "from segjax.train import Experiment\ndef a() -> Experiment: ...\ndef b() -> Experiment: ...\n",
            "and holds a, b",
        ),
        ("x = 1\0\n", r"wrong\.py: source code string cannot contain null bytes; mend it and run again"),
        (
            "from segjax.train import Experiment\ndef a(b: 'Nope' = 3) -> Experiment: ...\n",
            r"the type of a knob of a is not there \(name 'Nope' is not defined\); import it in the file",
        ),
        ("from segjax.train import Experiment\nPRESETS = [1]\ndef a() -> Experiment: ...\n", "PRESETS must be a table"),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path: Path, text: str, sentence: str):
    path = tmp_path / "wrong.py"
    path.write_text(text)
    with pytest.raises(ExperimentError, match=sentence) as caught:
        read_experiment(path)
    assert str(path) in str(caught.value)


def test_a_function_that_fails_is_named_by_file_and_line(knobs: Path):
    with pytest.raises(ExperimentError, match=r"knobs\.py, line 8: KeyError: 'missing'"):
        read_experiment(knobs).build({})
    knobs.write_text(KNOBS.replace('return {"steps": steps}["missing"]', 'raise SystemExit("no camera")'))
    with pytest.raises(ExperimentError, match=r"knobs\.py, line 8: SystemExit: no camera$"):
        read_experiment(knobs).build({})


def test_a_function_that_returns_no_experiment_is_named(knobs: Path):
    knobs.write_text(KNOBS.replace('["missing"]', ""))
    with pytest.raises(ExperimentError, match=r"knobs\.py: experiment returned \{'steps': 600\}; let it return the"):
        read_experiment(knobs).build({})


def test_types_that_only_a_type_checker_imports_stand_in_no_way(knobs: Path):
    others = 'def other(x: "torch.Tensor") -> "np.ndarray": ...\ndef more(x: "torch.Tensor") -> int: ...\n'
    knobs.write_text(f"from __future__ import annotations\n{KNOBS}\n{others}")
    assert read_experiment(knobs).knobs()["steps"] == 600


def test_a_folder_that_is_no_run_is_named(tmp_path: Path):
    with pytest.raises(ExperimentError, match="is not a folder; name the folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(ExperimentError, match=r"is not a run folder: it has no experiment\.py"):
        open_run(tmp_path)
    seeds = tmp_path / "base=8"
    for name in ("seed10", "seed2", "seed_old", "seed3"):
        (seeds / name).mkdir(parents=True)
        (seeds / name / "run.json").write_text("{}")
    (seeds / "seed3" / "run.json").unlink()
    with pytest.raises(ExperimentError, match=r"holds 2 runs: name those that you mean, such as .*base=8/seed2\.$"):
        open_run(seeds)
    with pytest.raises(ExperimentError, match=r"holds 3 runs: .*base=8/seed10\.$"):  # a sweep's
        open_run(tmp_path)
    (seeds / "seed10" / "run.json").unlink()
    with pytest.raises(ExperimentError, match=r"holds 1 run: name it, .*base=8/seed2\.$"):
        open_run(seeds)


def test_a_run_of_an_older_segjax_is_named(squares: Path, tmp_path: Path):
    run = create_run(tmp_path / "run", squares, {})
    assert open_run(run.path) == run
    run.write_json("run.json", run.configuration() | {"versions": {"segjax": "0.1.0"}})
    with pytest.raises(ExperimentError, match=r"was made by segjax 0\.1\.0, which 0\.2\.0 cannot read; train it again"):
        open_run(run.path)


@pytest.mark.parametrize("text", ['{"experiment": "squ', "", "[]"])
def test_a_damaged_run_json_is_named(squares: Path, tmp_path: Path, text: str):
    run = create_run(tmp_path / "run", squares, {})
    (run.path / "run.json").write_text(text)
    with pytest.raises(ExperimentError, match=r"run\.json is damaged \(.*\); put back the one that the run wrote\.$"):
        open_run(run.path)
