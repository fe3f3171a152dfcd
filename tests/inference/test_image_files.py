"""Which files are meant, and what annotations call them."""

from pathlib import Path

import pytest

from segjax.errors import InferenceError
from segjax.inference.image_files import ImageFile, find_images, name_images, name_results


def test_each_file_is_found_once(tmp_path: Path):
    for name in ("a.png", "x/b.JPG", "x/.hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    images, problems = find_images([tmp_path / "x" / "b.JPG", tmp_path, tmp_path / "*.png", tmp_path / "*.gif"])
    assert images == [ImageFile(tmp_path / "x" / "b.JPG", tmp_path / "x"), ImageFile(tmp_path / "a.png", tmp_path)]
    assert [problem.split(" (")[0] for problem in problems] == [f"{tmp_path / '*.gif'} matches no images"]


def test_a_video_among_images_is_said_to_be_one(tmp_path: Path):
    (tmp_path / "Walk.MP4").touch()
    images, problems = find_images([tmp_path / "Walk.MP4"])
    assert not images
    assert "Walk.MP4 is a video: name it by --video" in problems[0]


def test_names_are_those_below_the_folder_where_they_differ(tmp_path: Path):
    two = [ImageFile(tmp_path / "x" / "a.png", tmp_path / "x"), ImageFile(tmp_path / "y" / "b.png", tmp_path / "y")]
    assert name_images(two) == ["a.png", "b.png"]
    same = [one._replace(file=one.file.with_name("c.png")) for one in two]
    assert name_images(same) == ["x/c.png", "y/c.png"]
    assert name_results(same, [".png"], tmp_path / "out") == [tmp_path / "out/x/c", tmp_path / "out/y/c"]
    with pytest.raises(InferenceError, match=r"a\.png is one of the images to predict"):
        name_results(two, [".png"], tmp_path / "x")
