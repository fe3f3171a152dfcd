import json

import numpy as np
import pytest

from segjax.data import folder
from segjax.data.formats.classes import (
    bright_palette,
    numbered_classes,
    read_classes,
    read_labelmap,
    read_nnunet_classes,
    voc_palette,
)
from segjax.errors import DataError


def test_the_palette_is_that_of_pascal_voc():
    # As the label colours are listed in the development kit's documentation.
    assert voc_palette(22)[:9] == (
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128),
        (128, 0, 128), (0, 128, 128), (128, 128, 128), (64, 0, 0),
    )  # fmt: skip
    assert voc_palette(22)[20] == (0, 64, 128)
    assert voc_palette(256)[255] == (224, 224, 192)
    assert len(set(voc_palette(256))) == 256


def test_lines_are_names_with_or_without_a_colour(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text(
        "\ufeffbackground 0 0 0\nopen vegetation #a0FF10\nroad 2\nignore 255 255 255\nwater, 1, 2, 3\n"
        "ignore #ff0000\n\n",
        "utf-8",
    )
    classes = read_classes(path)
    assert classes.names == ("background", "open vegetation", "road 2", "water")
    assert classes.palette == ((0, 0, 0), (160, 255, 16), (0, 128, 0), (1, 2, 3))
    assert classes.colours == {
        (0, 0, 0): 0,
        (160, 255, 16): 1,
        (255, 255, 255): 255,
        (1, 2, 3): 3,
        (255, 0, 0): 255,
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a\nb\na\n", "has the class 'a' twice"),
        ("a\n\nb\n", "has no class name in line 2"),
        ("a\n#ff0000\n", "has no class name in line 2"),
        ("# classes of 2024\na\nb\n", "begins line 1 with #, as a comment or a colour does"),
        ("a #0000ff\n#ff0000 b\n", "begins line 2 with #"),
        ("a 1 2 3\nb 1 2 3\n", "gives the colour of line 2 twice"),
        ("a 1 2 3\nb 1 2 256\n", "has a colour above 255 in line 2"),
        ("a\nb\nignore\n", "has no colour after 'ignore' in line 3"),
        ("only one\n", "lists 1 classes: name 2 to 65535"),
        ("\n".join(f"class {i}" for i in range(65536)), "lists 65536 classes"),
        (b"a\nb\xff\n", "cannot be read .*: save it as UTF-8"),
    ],
)
def test_bad_lists_get_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "classes.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=rf"classes\.txt {sentence}"):
        read_classes(path)


def test_what_is_ignored_goes_by_the_number_of_classes(tmp_path):
    for count, value in ((255, 255), (256, 65535)):
        lines = [f"class {i}\n" for i in range(count - 1)] + ["last #010203\n", "ignore #ffffff\n"]
        (tmp_path / "classes.txt").write_text("".join(lines))
        assert read_classes(tmp_path / "classes.txt").colours == {(1, 2, 3): count - 1, (255, 255, 255): value}


def test_nnunet_names_its_labels(tmp_path):
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"labels": {"cell": 1, "background": 0}, "file_ending": ".png"}))
    classes, levels = read_nnunet_classes(path)
    assert (classes.names, levels) == (("background", "cell"), None)
    for labels in ({"background": 0, "cell": 2}, ["background"], {"background": "zero"}, {"cell": [1, 2]}):
        path.write_text(json.dumps({"labels": labels}))
        with pytest.raises(DataError, match=r"dataset\.json does not"):
            read_nnunet_classes(path)


def test_what_nnunet_calls_ignore_is_no_class(tmp_path, save):
    said = {"labels": {"background": 0, "cell": 1, "ignore": 2}, "file_ending": ".png"}
    save(tmp_path / "dataset.json", json.dumps(said))
    labels = np.random.default_rng(0).integers(0, 3, (16, 24)).astype(np.uint8)
    for name in "abcdef":
        image = np.random.default_rng(ord(name)).integers(0, 256, (16, 24)).astype(np.uint8)
        save(tmp_path / "imagesTr" / f"{name}_0000.png", image)
        save(tmp_path / "labelsTr" / f"{name}.png", labels)
    dataset = folder(tmp_path)
    assert dataset.class_names == ("background", "cell")
    np.testing.assert_array_equal(dataset.open("train")[0]["mask"], np.where(labels == 2, 255, labels))
    said["labels"] = {"background": 0, "ignore": 1, "cell": 2}
    save(tmp_path / "dataset.json", json.dumps(said))
    with pytest.raises(DataError, match="does not have `ignore` as its last label"):
        folder(tmp_path)


def test_classes_without_names_are_numbered():
    assert numbered_classes(2).names == ("background", "foreground")
    assert numbered_classes(3).names == ("class 0", "class 1", "class 2")


def test_bright_colours_differ():
    colours = bright_palette(12)
    assert bright_palette(3) == colours[:3]
    distances = [max(abs(a - b) for a, b in zip(one, other, strict=True)) for one in colours for other in colours]
    assert sorted(distances)[12] > 50  # apart from each one's distance to itself
    assert min(max(colour) for colour in colours) == 255


def test_cvats_labelmap_says_colours_and_the_background_comes_first(tmp_path):
    path = tmp_path / "labelmap.txt"
    path.write_text("# label:color_rgb:parts:actions\nsquare:176,112,32::\nbackground:0,0,0::\ndisc:48,112,32:a,b:\n")
    found = read_labelmap(path)
    assert found.names == ("background", "square", "disc")
    assert found.colours == {(0, 0, 0): 0, (176, 112, 32): 1, (48, 112, 32): 2}
    assert found.palette == ((0, 0, 0), (176, 112, 32), (48, 112, 32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("disc 1 2 3\n", "in line 1"),
        ("a:1,2,3::\nb:1,2,300::\n", "in line 2"),
        ("a:1,2,3::\nb:1,2,3::\n", "twice"),
        ("", "2"),
    ],
)
def test_bad_labelmaps_get_one_sentence(tmp_path, text, said):
    (tmp_path / "labelmap.txt").write_text(text)
    with pytest.raises(DataError, match=said):
        read_labelmap(tmp_path / "labelmap.txt")
