"""Which files are meant, and what annotations call them."""

from pathlib import Path

import pytest

from segjax.errors import InferenceError
from segjax.inference.image_files import ImageFile, find_images, name_images, name_results


def test_each_file_is_found_once(tmp_path: Path):
    for name in ("a.png", "x/b.JPG", "x/.hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    paths = [tmp_path / "x" / "b.JPG", tmp_path, tmp_path / "*.png", tmp_path / "*.gif"]
    images, problems = find_images(paths, tmp_path / "out")
    assert images == [ImageFile(tmp_path / "x" / "b.JPG", tmp_path / "x"), ImageFile(tmp_path / "a.png", tmp_path)]
    assert [problem.split(" (")[0] for problem in problems] == [f"{tmp_path / '*.gif'} matches no images"]


def test_a_video_among_images_is_said_to_be_one(tmp_path: Path):
    (tmp_path / "Walk.MP4").touch()
    images, problems = find_images([tmp_path / "Walk.MP4"], tmp_path / "out")
    assert not images
    assert "Walk.MP4 is a video: name it by --video" in problems[0]


def test_results_of_an_earlier_run_are_no_images(tmp_path: Path):
    for name in ("photos/a.jpg", "photos/out/a.png", "photos/out/deeper/b.png", "photos/outer/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    photos, out = tmp_path / "photos", tmp_path / "photos" / "out"

    def found(path: Path, out: Path) -> list[str]:
        return [str(image.file.relative_to(photos)) for image in find_images([path], out)[0]]

    assert found(photos, out) == found(photos / "*", out) == ["a.jpg", "outer/c.png"]
    assert found(photos / "**" / "*.png", out) == ["outer/c.png"]
    assert found(out / "a.png", out) == ["out/a.png"]  # asked for by its name
    assert found(out, tmp_path) == found(out, out) == ["out/a.png", "out/deeper/b.png"]


def test_names_are_those_below_the_folder_where_they_differ(tmp_path: Path):
    two = [ImageFile(tmp_path / "x" / "a.png", tmp_path / "x"), ImageFile(tmp_path / "y" / "b.png", tmp_path / "y")]
    assert name_images(two) == ["a.png", "b.png"]
    same = [one._replace(file=one.file.with_name("c.png")) for one in two]
    assert name_images(same) == ["x/c.png", "y/c.png"]
    assert name_results(same, [".png"], tmp_path / "out") == [tmp_path / "out/x/c", tmp_path / "out/y/c"]
    with pytest.raises(InferenceError, match=r"a\.png is one of the images to predict"):
        name_results(two, [".png"], tmp_path / "x")
