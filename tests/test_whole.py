from pathlib import Path

import pytest

from segjax.whole import write_whole, written_whole


def test_a_file_takes_the_place_of_the_earlier_one(tmp_path: Path):
    write_whole(tmp_path / "page.html", "earlier")
    write_whole(tmp_path / "page.html", "käse")
    assert (tmp_path / "page.html").read_bytes() == "käse".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path):
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OSError, match=r"page\.html"):
        write_whole(tmp_path / "page.html", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def half_written(file: Path) -> None:
    with written_whole(file) as partial:
        partial.write_text("half")
        raise OSError("the disk is full")


def test_what_is_written_in_part_leaves_the_earlier_one_alone(tmp_path: Path):
    write_whole(tmp_path / "page.html", "earlier")
    with pytest.raises(OSError, match="the disk is full"):
        half_written(tmp_path / "page.html")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "earlier")]
