"""The wheel, installed outside of the clone, has everything that a command needs."""

import importlib.util
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", *map(str, command)],
        cwd=settings.pop("cwd"),
        env=os.environ | settings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the wheel's content and nothing else; other packages come from this environment."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=str(ROOT))
    (wheel,) = folder.glob("segjax-*.whl")
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", folder / "site", wheel, cwd=str(folder))
    return folder / "site"


def test_pypi_shows_what_does_not_lie_beside_it(installed: Path):
    (metadata,) = installed.glob("segjax-*.dist-info/METADATA")
    about, _, shown = metadata.read_text().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in about
    assert shown.startswith("# segjax")
    assert not re.search(r"\]\((?!https?:|#)", shown)
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))
    text = "![A tree](docs/a.png)\n\n[one](docs/b.md), [two](https://x.org), [three](#here)"
    assert hook["alone"](text, None) == "one, [two](https://x.org), [three](#here)"
    assert hook["alone"](text, "https://y.org/z") == (
        "![A tree](https://y.org/z/raw/main/docs/a.png)\n\n"
        "[one](https://y.org/z/blob/main/docs/b.md), [two](https://x.org), [three](#here)"
    )


def test_it_trains_by_name_and_predicts(installed: Path, tmp_path: Path):
    where = {"cwd": str(tmp_path), "PYTHONPATH": str(installed)}
    assert "islands" in run("-m", "segjax", "data", "list", **where)  # which imports no jax
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    for number in range(6):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)).save(tmp_path / f"mine/images/{number}.png")
        Image.fromarray(rng.integers(0, 2, (32, 32)).astype(np.uint8)).save(tmp_path / f"mine/masks/{number}.png")
    small = ["--width", "2", "--depth", "1", "--batch-size", "2", "--steps", "2"]
    names = ("of_folder", "of_land_cover")
    commands = [["train", "folder", "--root", "mine", "--out", "of_folder", *small]]
    commands += [["train", "land_cover", "--out", "of_land_cover", *small]]
    commands += [["predict", name, "mine/images/0.png", "--out", f"predicted_{name}"] for name in names]
    together = (
        "import json, sys, segjax; from segjax.runs.names import names; print(segjax.__file__, *names())\n"
        "from segjax.cli import main; sys.exit(any(map(main, json.loads(sys.argv[1]))))"
    )
    said = run("-c", together, json.dumps(commands), **where)  # one process, which imports once
    assert said.startswith(str(installed))
    assert "islands_multitask" in said.splitlines()[0]
    for name in names:
        assert list((tmp_path / f"predicted_{name}").rglob("0*.png"))
        assert (tmp_path / name / "report.html").stat().st_size > 10_000  # its templates are in the wheel
