import json
import zipfile
from pathlib import Path

import pytest

from segjax.cli import main


def test_a_run_is_exported_with_what_it_knows_of_its_classes(
    squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("flatbuffers")
    run, out = tmp_path / "run", tmp_path / "model.stablehlo"
    assert main(["train", str(squares), "--out", str(run), "--steps", "2"]) == 0
    capsys.readouterr()
    command = ["export", str(run), "--format", "stablehlo", "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "images (n 16 16 3) of uint8" in said
    assert "on 3 images: the largest difference" in said
    with zipfile.ZipFile(out) as archive:  # with what anyone has
        found = json.loads(archive.read("metadata.json"))
    assert (found["class_names"], found["palette"]) == (["ground", "square"], [[40, 40, 40], [240, 180, 60]])
    assert found["trained_on"] == "squares"
    assert main([*command, "--int8"]) == 1
    assert "stablehlo has no 8 bits here" in capsys.readouterr().err
    assert main([*command, "--images", str(tmp_path / "absent.png")]) == 1
    assert "absent.png" in capsys.readouterr().err


def test_a_page_is_of_one_size_and_in_float32(squares: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = tmp_path / "run"
    assert main(["train", str(squares), "--out", str(run), "--steps", "2"]) == 0
    command = ["export", str(run), "--format", "html", "--out", str(tmp_path / "page")]
    assert main([*command, "--dynamic"]) == 1
    assert "A page shows its model images of one size" in capsys.readouterr().err
    assert main([*command, "--dtype", "float16"]) == 1
    assert "A page has its model in float32" in capsys.readouterr().err
