import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segjax.data import Dataset, Record, folder, folder_defaults, labelled, labelled_defaults, pack
from segjax.data.formats.held_out import say_once
from segjax.data.pack import pack_by_name
from segjax.errors import ExperimentError
from segjax.runs import known_data, read_experiment


def images(top: Path) -> None:
    for number in range(5):
        for kind, most in (("images", 256), ("masks", 3)):
            shape = (40, 44, 3) if kind == "images" else (40, 44)
            (top / kind).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, most, shape)
            Image.fromarray(pixels.astype(np.uint8)).save(top / kind / f"{number}.png")


def labelme(top: Path) -> None:
    top.mkdir(parents=True)
    outline = {"label": "dog", "points": [[2, 2], [20, 4], [14, 18]], "shape_type": "polygon"}
    for number in range(5):
        Image.fromarray(np.full((40, 44, 3), 40 * number, np.uint8)).save(top / f"{number}.png")
        said = {"version": "5.4.1", "shapes": [outline], "imagePath": f"{number}.png", "imageHeight": 40}
        (top / f"{number}.json").write_text(json.dumps(said | {"imageWidth": 44}))


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images as a folder, as labelme's, and packed from the folder."""
    top = tmp_path_factory.mktemp("yours")
    images(top / "folder")
    labelme(top / "drawn")
    pack_by_name(top / "folder", top / "packed")
    return top


def sets(top: Path) -> dict[str, tuple[str, Path]]:
    return {name: (name if name != "drawn" else "labelled", top / name) for name in ("folder", "drawn", "packed")}


def test_what_is_found_out_of_a_folder_is_what_was_packed_of_it(top: Path):
    known, packed = (known_data(name, str(top / name)) for name in ("folder", "packed"))
    ours = folder_defaults(top / "folder")
    for found in (known, packed):
        assert (found.crop, found.class_weights) == (ours.crop, ours.class_weights)
        assert found.data.class_names == ours.class_names
    drawn = known_data("labelled", str(top / "drawn"), masks=True)
    assert (drawn.crop, drawn.class_weights, drawn.data.class_names) == (32, (), ("background", "dog"))


@pytest.mark.parametrize("name", ["segmentation", "detection", "localization", "multitask"])
@pytest.mark.parametrize("data", ["folder", "drawn", "packed"])
def test_every_experiment_takes_every_set_of_yours_and_its_run_the_same_without_it(name: str, data: str, top: Path):
    set_, root = sets(top)[data]
    file = read_experiment(name)
    facts: dict[str, Any] = {}
    knobs = file.knobs() | {"data": set_, "root": str(root)}
    first = file.build(knobs, facts)
    assert first.augment is not None
    assert first.augment.crop == (32, 32)
    assert list(facts) == [set_]
    again = file.build(knobs | {"root": "/nowhere"}, json.loads(json.dumps(facts)))
    assert (again.augment, again.data.class_names) == (first.augment, first.data.class_names)


def test_what_is_guessed_is_said_once_and_not_when_a_run_is_opened(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    say_once.cache_clear()  # other tests have said the same
    labelme(tmp_path / "guessed")
    file = read_experiment("detection")
    facts: dict[str, Any] = {}
    knobs = file.knobs() | {"data": "labelled", "root": str(tmp_path / "guessed")}
    file.build(knobs, facts)
    said, notes = capfd.readouterr().err, labelled_defaults(tmp_path / "guessed").notes
    assert notes
    assert all(note in said for note in notes)
    file.build(knobs, facts)
    assert not capfd.readouterr().err


def own(**more: Any) -> Dataset:
    return Dataset("mine", ("a", "b"), ((0, 0, 0), (9, 9, 9)), open={}.__getitem__, **more)


def test_what_a_data_set_has_may_be_said_of_it(tmp_path: Path):
    mine = own(attribute_names=("joy",))
    assert known_data(mine, classes=("a", "b"), attributes=("joy",), bands=(), fold=None).data is mine
    record: Record = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), np.uint8)}
    written = Dataset("mine", ("a", "b"), ((0, 0, 0), (9, 9, 9)), open=lambda split: [record] * 2)
    pack(written, tmp_path / "packed")
    assert known_data("packed", str(tmp_path / "packed"), classes=("a", "b")).data.name == "mine"
    with pytest.raises(ExperimentError, match=r"--classes is for the data set .*folder, not for mine"):
        known_data("packed", str(tmp_path / "packed"), classes=("a",))


@pytest.mark.parametrize(
    ("data", "knobs", "sentence"),
    [
        ("folder", {}, "The data set folder needs a folder: give it by --root PATH."),
        ("labelled", {}, "The data set labelled needs a folder, or the file of a tool: give it by --root PATH."),
        ("land_cover", {"bands": ("1",)}, "--bands is for the data set labelled or folder, not for land_cover"),
        ("nuclei", {"fold": 0}, "--fold is for the data set folder, not for nuclei: leave it out."),
        ("trees", {"train": "a.json"}, "--train is for the data set coco or voc, not for trees: leave it out."),
        (own(), {"classes": ("a",)}, "--classes is for the data set coco or voc or labelled or folder, not for mine"),
    ],
)
def test_what_is_not_of_a_data_set_gets_one_sentence(data: str | Dataset, knobs: dict[str, Any], sentence: str):
    with pytest.raises(ExperimentError, match=re.escape(sentence)):
        known_data(data, **knobs)


def test_classes_and_bands_of_yours_are_chosen(top: Path):
    two = ("class 0", "two=class 1+class 2")
    chosen = known_data("folder", str(top / "folder"), classes=two, bands=("1", "3")).data
    assert (chosen.class_names, len(chosen.open("train")[0]["image"][0, 0])) == (("class 0", "two"), 2)
    ours = folder(top / "folder", folder_defaults(top / "folder", ("1", "3"), two))
    assert (chosen.class_names, chosen.images) == (ours.class_names, ours.images)
    dogs = known_data("labelled", str(top / "drawn"), classes=("animal=dog",)).data
    assert dogs.class_names == labelled(top / "drawn", class_names=("animal=dog",)).class_names == ("animal",)
