import numpy as np
import pytest
from PIL import Image

from segjax.data import Statistics, labelled, voc
from segjax.errors import DataError


def xml(name, *objects, size=(40, 30)):
    """An annotation like those of Pascal VOC; objects are (class, xmin, ymin, xmax, ymax, difficult)."""
    parts = [
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for label, left, top, right, bottom, difficult in objects
    ]
    shape = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>{name}</filename>{shape}{''.join(parts)}</annotation>"


@pytest.fixture
def folder(tmp_path, save):
    """A set of three images, two of them to train."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        save(tmp_path / "JPEGImages" / f"{name}.png", rng.integers(0, 256, (30, 40, 3)).astype(np.uint8))
    save(
        tmp_path / "Annotations" / "a.xml", xml("a.png", ("dog", 1, 1, 40, 30, 0), ("cat", 5, 6, 5, 6, 1)), 
    )  # fmt: skip
    save(tmp_path / "Annotations" / "b.xml", xml("b.png", ("person", 10.5, 3, 20, 9, 0)))
    save(tmp_path / "Annotations" / "c.xml", xml("renamed.png", ("person", 1, 1, 5, 5, 0)))
    save(tmp_path / "ImageSets" / "Main" / "train.txt", "a\nb\n")
    save(tmp_path / "ImageSets" / "Main" / "val.txt", "c -1\n")
    return tmp_path


def test_corners_become_boxes(folder):
    dataset = voc(folder, "val", "train")
    assert dataset.class_names == ("cat", "dog", "person")
    source = dataset.open("test")
    assert len(source) == 2
    record = source[0]
    # Both corners are inside and counted from 1: the whole image, and one pixel.
    np.testing.assert_array_equal(record["boxes"], [[0, 0, 40, 30], [4, 5, 1, 1]])
    assert record["labels"].tolist() == [1, 0]
    assert record["crowd"].tolist() == [False, True]
    assert record["boxes"].dtype == np.float32
    np.testing.assert_array_equal(source[1]["boxes"], [[9.5, 2, 10.5, 7]])
    np.testing.assert_array_equal(record["image"], np.asarray(Image.open(folder / "JPEGImages" / "a.png")))
    test = dataset.open("train")
    assert len(test) == 1
    assert test[0]["boxes"].shape == (1, 4)
    assert test[0].keys() == {"image", "boxes", "labels", "crowd"}


def test_images_of_another_depth_are_read_as_their_statistics_say(folder, save):
    pixels = np.random.default_rng(1).integers(0, 65536, (30, 40, 1)).astype(np.uint16)
    for name in ("a", "b", "c"):
        save(folder / "JPEGImages" / f"{name}.png", pixels[..., 0])
    dataset = voc(folder, "val", "train", statistics=Statistics((0.5,), (0.2,), depth="uint16"))
    np.testing.assert_array_equal(dataset.open("test")[0]["image"], pixels)
    assert dataset.shown(pixels).dtype == np.uint8
    with pytest.raises(DataError, match="has uint16 where the images of the set have uint8"):
        voc(folder, "val", "train").open("test")[0]


def test_classes_may_be_chosen_and_then_nothing_is_read_before_it_is_opened(folder, tmp_path):
    source = voc(folder, "val", "train", class_names=("person", "dog")).open("test")
    assert [source[i]["labels"].tolist() for i in range(2)] == [[1], [0]]
    later = voc(tmp_path / "nowhere", class_names=("dog",))
    with pytest.raises(DataError, match=r"nowhere has no Annotations/ with XML files"):
        later.open("train")
    with pytest.raises(ValueError, match="the splits train, val and test, not 'other'"):
        later.open("other")


def test_without_lists_a_hash_of_names_decides(folder):
    for path in (folder / "ImageSets" / "Main").iterdir():
        path.unlink()
    (folder / "ImageSets" / "Main").rmdir()
    dataset = voc(folder)
    assert [len(dataset.open(split)) for split in ("train", "val", "test")] == [1, 1, 1]


@pytest.mark.parametrize(("list_of", "missing"), [("train", "test"), ("val", "train"), ("test", "train")])
def test_one_list_alone_is_refused_where_splits_are_worked_out(folder, save, list_of, missing):
    lists = folder / "ImageSets" / "Main"
    for path in lists.iterdir():
        path.unlink()
    save(lists / f"{list_of}.txt", "a\nb\n")
    with pytest.raises(DataError, match=rf"has no .*ImageSets/Main/{missing}\.txt: write both lists, or neither"):
        labelled(folder)


def test_a_list_for_validation_is_honoured(folder, save, capfd):
    save(folder / "ImageSets" / "Main" / "test.txt", "c\n")
    save(folder / "ImageSets" / "Main" / "val.txt", "b\n")
    save(folder / "ImageSets" / "Main" / "train.txt", "a\n")
    dataset = voc(folder, test="test", val="val")
    assert [len(dataset.open(split)) for split in ("train", "val", "test")] == [1, 1, 1]
    assert dataset.open("val")[0]["labels"].tolist() == [2]
    assert capfd.readouterr().err == ""
    with pytest.raises(DataError, match="has no images for the split val: add some"):
        voc(folder).open("val")


def test_validation_is_cut_from_what_trains(folder, capfd):
    dataset = voc(folder)
    assert [len(dataset.open(split)) for split in ("train", "val", "test")] == [1, 1, 1]
    assert "does not say which images validate: 1 of the 2 for training do" in capfd.readouterr().err


def bad(folder, save, name):
    file = folder / "Annotations" / "a.xml"
    {
        "no list": lambda: (folder / "ImageSets" / "Main" / "train.txt").unlink(),
        "empty list": lambda: save(folder / "ImageSets" / "Main" / "train.txt", "\n"),
        "listed and not there": lambda: file.unlink(),
        "no xml": lambda: save(file, "<annotation><object>"),
        "no image": lambda: (folder / "JPEGImages" / "a.png").unlink(),
        "one image of two": lambda: (
            save(file, xml("b.png", ("dog", 1, 1, 2, 2, 0))),
            (folder / "JPEGImages" / "a.png").unlink(),
        ),
        "no class": lambda: save(file, xml("a.png", (" ", 1, 1, 2, 2, 0))),
        "no number": lambda: save(file, xml("a.png", ("dog", "left", 1, 2, 2, 0))),
        "swapped": lambda: save(file, xml("a.png", ("dog", 20, 1, 10, 2, 0))),
        "outside": lambda: save(file, xml("a.png", ("dog", 50, 1, 60, 2, 0))),
    }[name]()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("no list", r"ImageSets/Main/train\.txt cannot be read .*: name a list of ImageSets/Main/"),
        ("empty list", r"ImageSets/Main/train\.txt lists nothing: write names of images, one a line"),
        ("listed and not there", r"/Annotations/a\.xml cannot be read \(No such file or directory\): copy it there"),
        ("no xml", r"/Annotations/a\.xml is no XML, or cut short \(.*\): write it again"),
        ("no image", r"/Annotations/a\.xml has no image 'a\.png' in .*JPEGImages: copy it there"),
        ("one image of two", r"has .*/JPEGImages/b\.png labelled twice: put its objects together"),
        ("no class", r"/Annotations/a\.xml object 0 has no name: write its class"),
        ("no number", r"a\.xml object 0 has no bndbox of four numbers xmin, ymin, xmax, ymax: write them in pixels"),
        ("swapped", r"a\.xml object 0 has a box of -9x2 pixels at \(19, 0\): a size is positive"),
        ("outside", r"a\.xml object 0 has a box of 11x2 pixels at \(49, 0\), all of it outside the image of 40x30"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(folder, save, name, sentence):
    bad(folder, save, name)
    with pytest.raises(DataError, match=sentence):
        voc(folder, class_names=("dog", "cat", "person")).open("train")


@pytest.mark.parametrize(
    ("annotations", "images"), [("Annotations", "JPEGImages"), (".", "."), ("Annotations", "photos/all")]
)
def test_an_image_is_found_by_its_name_whatever_the_case_of_its_ending(tmp_path, save, annotations, images):
    # Each file says the name of another image, which its own had before all were renamed.
    for number, (name, before) in enumerate((("a", "b.PNG"), ("b", "c.PNG"), ("c", "a.PNG"))):
        save(tmp_path / images / f"{name}.PNG", np.full((30, 40, 3), number, np.uint8))
        save(tmp_path / annotations / f"{name}.xml", xml(before, (name, 1, 1, 5, 5, 0)))
        for hidden in (tmp_path / images / f"._{name}.PNG", tmp_path / annotations / f"._{name}.xml"):
            save(hidden, b"\0\5\x16\7\0\2\0\0Mac OS X")
    dataset = voc(tmp_path)
    records = [dataset.open(split)[0] for split in ("train", "val", "test")]
    assert sorted(record["labels"][0] for record in records) == [0, 1, 2]
    assert all((record["image"] == record["labels"][0]).all() for record in records)
