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
