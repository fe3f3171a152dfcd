"""The loop over image files: what is handed on of each, and how far the bar says it has come."""

from pathlib import Path

import numpy as np
from PIL import Image

from segjax.inference import for_each_image
from segjax.inference.files import Opened


def test_each_file_is_opened_in_turn_and_what_cannot_be_read_is_left_out(tmp_path: Path, capsys):
    for number, name in enumerate(("a.png", "b.png")):
        Image.fromarray(np.full((3, 4), number, np.uint8)).save(tmp_path / name)
    (tmp_path / "c.png").write_text("nothing to see")
    seen = []

    def write(opened: Opened) -> Path:
        seen.append((opened.name, opened.stem, opened.image.shape, np.asarray(opened.image).max()))
        opened.advance(0.5)
        return opened.stem

    summary = for_each_image(write, [tmp_path], tmp_path / "out", [".txt"])
    out = tmp_path / "out"
    assert seen == [("a.png", out / "a", (3, 4, 3), 0), ("b.png", out / "b", (3, 4, 3), 1)]
    assert summary.done == (out / "a", out / "b")
    assert len(summary.failed) == 1
    said = capsys.readouterr().err
    assert "c.png" in said
    assert "3/3" in said
    assert for_each_image(write, [tmp_path / "absent.png"], out, [".txt"]).failed
    assert capsys.readouterr().err.splitlines()[1:] == []  # and not how many of none there were


def test_a_name_that_is_too_long_for_its_results_ends_no_run(tmp_path: Path):
    (tmp_path / "out").mkdir()
    long = f"{'a' * 245}.png"
    for name in (long, "b.png"):
        Image.new("L", (4, 3)).save(tmp_path / name)

    def write(opened: Opened) -> Path:
        path = Path(f"{opened.stem}_overlay.png")
        path.touch()
        return path

    summary = for_each_image(write, [tmp_path], tmp_path / "out", ["_overlay.png"])
    assert summary.done == (tmp_path / "out" / "b_overlay.png",)
    assert [long in problem and "too long a name" in problem for problem in summary.failed] == [True]
