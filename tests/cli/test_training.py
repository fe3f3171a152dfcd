from pathlib import Path

import pytest

from segjax.cli import main

FAILING = """
from pathlib import Path
from segjax.errors import ExperimentError


def failing(logits, mask):
    if not Path("mended").exists():
        raise ExperimentError("this loss wants to be mended.")
    return losses.cross_entropy(logits, mask)


class Squares:"""


def test_what_fails_before_it_is_saved_stands_in_nobodys_way(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    text = squares.read_text().replace("loss=losses.cross_entropy", "loss=failing")
    squares.write_text(text.replace("\nclass Squares:", FAILING))
    command = ["train", str(squares), "--out", "runs/new", "--steps", "2"]
    assert main(command) == 1
    assert "segjax: this loss wants to be mended." in capsys.readouterr().err
    assert not Path("runs/new").exists()
    monkeypatch.setattr("segjax.launch.local.start", lambda command, count: 1)  # as its processes would say
    assert main(["launch", *command[1:], "--local", "2"]) == 1
    assert not Path("runs/new").exists()
    Path("mended").touch()
    assert main(command) == 0
