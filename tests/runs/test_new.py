import ast
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forks import Forks
from PIL import Image

import segjax
from segjax.cli import main
from segjax.runs.new import command_of


def images_and_masks(root: Path) -> Path:
    """A folder to train on."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for number in range(10):
        mask = (np.indices((32, 48)).sum(0) > 30 + number).astype(np.uint8)
        image = np.clip(mask[..., None] * 120 + rng.integers(0, 60, (32, 48, 3)), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def test_a_new_file_trains_and_is_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], forks: Forks
):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my_leaves"]) == 0
    assert capsys.readouterr().out.strip() == "my_leaves.py"
    assert len(Path("my_leaves.py").read_text().splitlines()) < 40
    root = images_and_masks(tmp_path / "leaves")
    small = ["--width", "2", "--depth", "1", "--crop", "32", "--batch-size", "2", "--steps", "2", "--dtype", "bfloat16"]
    code, said = forks.run("train", tmp_path / "my_leaves.py", "--root", root, "--out", tmp_path / "run", *small)
    assert code == 0, said
    shutil.rmtree(root)
    model, variables = segjax.load("run")
    assert "bfloat16" in repr(model)
    logits: Any = model.apply(variables, np.zeros((1, 16, 16, 3), np.uint8), train=False)
    assert logits.shape == (1, 16, 16, 2)
    assert main(["new", "of leaves"]) == 0
    assert "Edit it, then: segjax train 'of leaves.py' --root PATH" in capsys.readouterr().err
    Path("my_leaves.py").write_text("mine")
    assert main(["new", "my_leaves"]) == 1
    assert "my_leaves.py is there already" in capsys.readouterr().err
    assert Path("my_leaves.py").read_text() == "mine"
    assert main(["new", "no/where"]) == 1
    assert "no/where.py cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("name", ['it"""s', "a\\xb", "end\\", "ü", "a\nb", "quoted'"])
def test_a_file_of_any_name_is_python(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 0
    written = ast.parse(Path(f"{name}.py").read_bytes())
    assert ast.get_docstring(written, clean=False) == f"{name.capitalize()}: what it is, and what it scores."
    (made,) = (one for one in written.body if isinstance(one, ast.FunctionDef))
    assert command_of(Path(f"{name}.py")) in (ast.get_docstring(made, clean=False) or "")


@pytest.mark.parametrize("name", ["", ".py"])
def test_a_file_of_no_name_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 1
    assert not [*tmp_path.iterdir()]


def test_a_new_file_trains_on_labels_that_may_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Forks):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "leaves"]) == 0
    root = images_and_masks(tmp_path / "leaves")
    for label in ("water", "green"):
        (root / "masks" / label).mkdir()
    for file in list((root / "masks").glob("*.png")):
        shutil.copy(file, root / "masks" / "water" / file.name)
        file.rename(root / "masks" / "green" / file.name)
    small = ["--width", "2", "--depth", "1", "--batch-size", "2", "--steps", "2"]
    code, said = forks.run("train", tmp_path / "leaves.py", "--root", root, "--out", tmp_path / "run", *small)
    assert code == 0, said
    shutil.rmtree(root)
    model, variables = segjax.load("run")
    logits: Any = model.apply(variables, np.zeros((1, 16, 16, 3), np.uint8), train=False)
    assert logits.shape == (1, 16, 16, 2)
