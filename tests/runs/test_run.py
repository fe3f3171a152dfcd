from pathlib import Path

import pytest

from segjax.errors import ExperimentError
from segjax.runs.request import new_runs
from segjax.runs.run import default_folder
from segjax.runs.sweep import Sweep


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "noon")
    assert [str(default_folder("leaves")) for _ in range(3)] == [f"runs/leaves/noon{n}" for n in ("", "_2", "_3")]
    (tmp_path / "runs" / "squares").touch()
    with pytest.raises(ExperimentError, match="runs/squares/noon cannot be written: Not a directory; give --out"):
        default_folder("squares")


def test_what_cannot_begin_leaves_no_folder(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (["--steps", "0"], ["--ema", "2"]):
        for seeds in (None, [0, 1]):
            with pytest.raises(ExperimentError):
                new_runs(str(squares), arguments, None, seeds)
    with pytest.raises(ExperimentError, match="twice"):
        Sweep.plan(squares, ["--steps", "1,1"], None, None)
    assert not [*tmp_path.glob("runs/squares/*")]
