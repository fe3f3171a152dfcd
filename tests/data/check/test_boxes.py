import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from segjax import cli
from segjax.data import check, labelled
from segjax.data.check.box_report import BoxReport
from segjax.data.check.mask_report import Report
from segjax.data.check.report import print_report
from segjax.data.formats.box_layouts import find_boxes
from segjax.errors import DataError


@pytest.fixture
def make_set(tmp_path, save):
    """A function that writes files of annotations with images of their own: {path: number of pictures}."""

    def make(files, images="{}"):
        rng = np.random.default_rng(0)
        for path, count in files.items():
            name = path.rpartition("/")[2].rpartition(".")[0]
            stem = name.rpartition("_")[2]
            listed, boxes = [], []
            for number in range(count):
                file = f"{stem}{number}.png"
                pixels = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
                save(tmp_path / images.format(stem) / file, pixels)
                listed.append({"id": number, "file_name": file, "width": 30, "height": 20})
                for k in range(number):
                    boxes.append({"id": len(boxes), "image_id": number, "category_id": 1 + k % 2,
                                  "bbox": [k, k, 10, 5], "iscrowd": 0, "attributes": {"happy": 0.5}})  # fmt: skip
            categories = [{"id": 1, "name": "face"}, {"id": 2, "name": "hand"}]
            content = {"images": listed, "annotations": boxes, "categories": categories}
            save(tmp_path / path, json.dumps(content))
        return tmp_path

    return make


def edit(path, change):
    parsed = json.loads(path.read_text())
    change(parsed)
    path.write_text(json.dumps(parsed))


def sentences(report, severity="error"):
    return [problem.sentence for problem in report.problems if problem.severity == severity]


def checked(root, **more) -> BoxReport:
    report = check(root, **more)
    assert isinstance(report, BoxReport)
    return report


@pytest.mark.parametrize(
    ("files", "images", "counts"),
    [
        ({"annotations/instances_train2017.json": 4, "annotations/instances_val2017.json": 3}, "{}", (3, 1, 3)),
        ({"annotations/instances_train2017.json": 4, "annotations/instances_val2017.json": 3}, "images/{}", (3, 1, 3)),
        ({"train.json": 4, "test.json": 3, "val.json": 2}, "images", (4, 2, 3)),
        ({"train/_annotations.coco.json": 4}, "train", (2, 1, 1)),
        ({"labels.json": 5}, "images", (3, 1, 1)),
    ],
)
def test_layouts_of_coco(make_set, files, images, counts):
    root = make_set(files, images)
    report = checked(root)
    assert report.errors == []
    assert (len(report.train), len(report.val), len(report.test)) == counts
    assert report.tool == "COCO"
    assert report.class_names == ("face", "hand")
    assert report.attribute_names == ("happy",)
    hashed = [note for note in report.notes if "chosen by a hash" in note]
    assert len(hashed) == (len(files) < 3)
    for path in files:
        assert isinstance(checked(root / path), BoxReport)  # a file alone too


def test_a_second_file_of_one_split_is_not_read(make_set):
    report = checked(make_set({"train.json": 3, "test.json": 3, "val.json": 2, "valid.json": 2}, "images"))
    (note,) = report.notes
    assert "valid.json is not read: " in note


def test_several_files_without_a_split_are_refused(make_set):
    report = checked(make_set({"one.json": 3, "two.json": 3}, "images"))
    assert "several files of annotations (one.json, two.json) and their names do not say" in sentences(report)[0]
    assert (report.train, report.test) == ((), ())


@pytest.mark.parametrize("files", [{"instances_val2017.json": 6}, {"val.json": 6, "test.json": 6}])
def test_what_was_put_aside_does_not_train(make_set, files):
    root = make_set(files, "images")
    (sentence,) = sentences(checked(root))
    assert "is not for training by its name, and " in sentence
    assert "give that file itself to have it shared out" in sentence
    with pytest.raises(DataError, match="is not for training by its name"):
        labelled(root)
    assert sentences(checked(root / next(iter(files)))) == []


def test_counts_are_exact(make_set):
    root = make_set({"train.json": 5, "val.json": 3, "test.json": 3}, "images")
    edit(root / "train.json", lambda parsed: parsed["annotations"][0].update(iscrowd=1))
    facts = checked(root).to_json()
    assert facts["pictures"] == {"train": 5, "val": 3, "test": 3}
    assert facts["without_boxes"] == {"train": 1, "val": 1, "test": 1}
    # An image n has n boxes, of classes 0, 1, 0, 1; the first box is a crowd.
    assert facts["boxes"] == {"face": {"train": 5, "val": 2, "test": 2}, "hand": {"train": 4, "val": 1, "test": 1}}
    assert facts["crowds"] == {"train": 1, "val": 0, "test": 0}
    assert facts["most_boxes"] == 4
    assert facts["longer_side"] == [10, 10, 10]
    assert facts["attributes"] == {"happy": [16, 0.5]}
    assert facts["height"] == {"min": 20, "median": 20, "max": 20}
    json.dumps(facts)
    text = io.StringIO()
    print_report(checked(root), Console(file=text, width=100))
    said = text.getvalue().replace("\n", " ")
    assert "COCO boxes, 5 images to train, 3 to validate and 3 to test, of which 1, 1 and 1 have no boxes" in said
    assert "Score 'happy': 16 boxes with one, on average 0.50." in text.getvalue()
    assert "0 errors, 0 warnings" in text.getvalue()


def test_everything_wrong_is_listed_at_once(make_set):
    root = make_set({"train.json": 6, "test.json": 4}, "images")

    def change(parsed):
        boxes = parsed["annotations"]
        boxes[0].update(bbox=[50, 50, 5, 5])
        boxes[1].update(bbox=[1, 1, -4, 5])
        boxes[2].update(bbox=[1, 1, 0, 5])
        boxes[3].update(category_id=9)
        boxes[4].update(id=3)
        boxes[5].update(image_id=77)
        boxes[6].update(segmentation=[[1, 2]])
        parsed["images"][5].update(width=31)

    edit(root / "train.json", change)
    (root / "images" / "train0.png").unlink()
    (root / "images" / "train1.png").write_bytes(b"no image at all")
    (root / "images" / "test1.png").write_bytes((root / "images" / "train2.png").read_bytes())
    report = checked(root)
    kinds = sorted(problem.kind for problem in report.errors)
    assert kinds == [
        "absent file", "box outside", "box size", "duplicate id", "leak", "outline", "size", "unknown category",
        "unknown image", "unreadable",
    ]  # fmt: skip
    assert [problem.kind for problem in report.problems if problem.severity == "warning"] == ["empty box"]
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in sentences(report))
    assert any(
        "test1.png is for testing and is the same image as " in sentence and "train2.png" in sentence
        for sentence in sentences(report)
    )


def test_boxes_are_held_against_the_picture_where_the_file_does_not_say_its_size(make_set):
    root = make_set({"train.json": 3, "test.json": 3}, "images")

    def change(parsed):
        for image in parsed["images"]:
            del image["width"]
        parsed["annotations"][0].update(bbox=[31, 1, 5, 5])

    edit(root / "train.json", change)
    (sentence,) = sentences(checked(root))
    assert "train1.png box 0 has a box of 5x5 pixels at (31, 1), all of it outside the image of 30x20" in sentence


def test_images_of_another_depth_or_number_of_bands_are_errors(make_set, save):
    root = make_set({"train.json": 6, "test.json": 4}, "images")
    rng = np.random.default_rng(1)
    save(root / "images" / "train2.png", rng.integers(0, 60000, (20, 30)).astype(np.uint16))
    np.save(root / "images" / "test1.npy", rng.integers(0, 256, (20, 30, 5)).astype(np.uint8))
    edit(root / "test.json", lambda parsed: parsed["images"][1].update(file_name="test1.npy"))
    depth, bands = sentences(checked(root))
    assert "train2.png has uint16 where the images of the set have uint8" in depth
    assert "test1.npy has 5 bands where the images of the set have 3" in bands
    (depth,) = sentences(checked(root, bands=["1"]))  # as they are read with --bands 1
    assert "uint16" in depth
    (none,) = sentences(checked(root, bands=["red"]))
    assert "has no band 'red'" in none


def test_names_of_other_bands_than_the_images_have_are_an_error_here_and_in_training(make_set, save):
    root = make_set({"train.json": 3, "test.json": 3}, "images")
    save(root / "bands.txt", "red\ngreen\n")
    (sentence,) = sentences(checked(root))
    assert sentence == f"{root / 'bands.txt'} names 2 bands, and the images have 3."
    with pytest.raises(DataError, match=re.escape(sentence)):
        labelled(root)
    assert sentences(checked(root, bands=["red"])) == []


def test_classes_that_a_split_never_has_and_sets_without_boxes(make_set):
    root = make_set({"train.json": 5, "val.json": 4, "test.json": 2}, "images")
    (warning,) = sentences(checked(root), "warning")
    assert warning.endswith("has class 1 ('hand') in no test image.")
    edit(root / "train.json", lambda parsed: parsed["annotations"].clear())
    edit(root / "val.json", lambda parsed: parsed["annotations"].clear())
    edit(root / "test.json", lambda parsed: parsed["annotations"].clear())
    assert "has no boxes for training that can be used: there is nothing to learn" in sentences(checked(root))[0]


def test_other_categories_in_another_split_are_an_error(make_set):
    root = make_set({"train.json": 3, "test.json": 3}, "images")
    edit(root / "test.json", lambda parsed: parsed["categories"][0].update(name="car"))
    assert any("has other categories than" in sentence for sentence in sentences(checked(root)))


def test_a_name_that_training_refuses_is_an_error(make_set):
    root = make_set({"train.json": 3, "test.json": 3}, "images")
    for file in ("train.json", "test.json"):
        edit(root / file, lambda parsed: parsed["categories"][0].update(name=" "))
    (sentence,) = sentences(checked(root))
    assert sentence.endswith(" has a class called ' ': write a name of letters that can be seen.")
    with pytest.raises(DataError, match="has a class called ' '"):
        labelled(root)


def test_voc_folders(tmp_path, save):
    rng = np.random.default_rng(0)
    for name in "abcde":
        save(tmp_path / "JPEGImages" / f"{name}.jpg", rng.integers(0, 256, (20, 30, 3)).astype(np.uint8))
        corners = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        thing = f"<object><name>dog</name>{corners}</object>"
        text = f"<annotation><size><width>30</width><height>20</height></size>{thing}</annotation>"
        save(tmp_path / "Annotations" / f"{name}.xml", text)
    for root in (tmp_path, tmp_path / "Annotations"):
        report = checked(root)
        assert report.errors == []
        assert (report.tool, report.class_names) == ("Pascal VOC", ("dog",))
        assert (len(report.train), len(report.val), len(report.test)) == (3, 1, 1)
    save(tmp_path / "ImageSets" / "Main" / "train.txt", "a\nb\n")
    save(tmp_path / "ImageSets" / "Main" / "val.txt", "c\nd\n")
    report = checked(tmp_path)
    assert (len(report.train), len(report.val), len(report.test)) == (1, 1, 2)
    save(tmp_path / "ImageSets" / "Main" / "test.txt", "e\n")
    report = checked(tmp_path)
    assert (len(report.train), len(report.val), len(report.test)) == (2, 2, 1)


def test_folders_of_masks_are_still_those(make_folder):
    assert isinstance(check(make_folder()), Report)
    assert find_boxes(make_folder()) is None


def test_what_is_no_data_set_is_one_problem(tmp_path, save):
    for path in (tmp_path, tmp_path / "nowhere"):
        report = check(path)
        assert isinstance(report, Report)
        assert len(report.errors) == 1
    assert (
        "by --data labelled, boxes and outlines of labelling tools, COCO and Pascal VOC"
        in check(tmp_path).errors[0].sentence
    )
    report = checked(save(tmp_path / "x.json", "[]"))
    assert "x.json holds a list, as files of predictions do" in sentences(report)[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"images": [', r"annotations/x.json is no JSON, or cut short \(.*\): export or copy it again\."),
        ("", r"annotations/x.json is no JSON, or cut short"),
        ("[1, 2]", r"annotations/x.json holds a list, as files of predictions do: give the file of annotations\."),
        ('{"shapes": []}', r"annotations/x.json has no list of objects `images`: COCO's format has images,"),
    ],
)
def test_a_file_among_annotations_that_is_none_is_named(make_set, text, sentence):
    root = make_set({"annotations/x.json": 4}, "images")
    (root / "annotations" / "x.json").write_text(text)
    (found,) = sentences(checked(root))
    assert re.search(sentence, found)


def test_a_file_that_is_not_there_is_named(tmp_path):
    (found,) = sentences(checked(tmp_path / "nowhere.json"))
    assert found.endswith("nowhere.json cannot be read (No such file or directory): give the file of annotations.")


def test_the_picture_of_examples_shows_boxes_with_their_classes(make_set, tmp_path):
    root = make_set({"train.json": 4, "test.json": 4}, "images")
    report, pictures = checked(root), {}
    for name in ("with", "without"):
        if name == "without":
            for path in ("train.json", "test.json"):
                edit(root / path, lambda parsed: [one.update(bbox=[0, 0, 0, 1]) for one in parsed["annotations"]])
        report = checked(root, picture=tmp_path / f"{name}.png")
        pictures[name] = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")).astype(int)
    for colour in report.palette:
        counts = {name: (abs(pixels - colour).max(axis=2) < 8).sum() for name, pixels in pictures.items()}
        assert counts["with"] > counts["without"] + 200


def test_the_command(make_set, capsys, monkeypatch, tmp_path):
    root = make_set({"train.json": 4, "test.json": 4}, "images")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "check", str(root)]) == 0
    said = capsys.readouterr().out
    assert "COCO boxes" in said
    assert (tmp_path / "data_check.png").stat().st_size > 10_000
    edit(root / "train.json", lambda parsed: parsed["annotations"][0].update(bbox=[1, 1, -1, 1]))
    assert cli.main(["data", "check", str(root), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"] == 1
    assert cli.main(["data", "check", str(root)]) == 1
    assert "Examples are drawn in data_check.png." in capsys.readouterr().out
    assert cli.main(["data", "check", "nowhere"]) == 1
    assert "Examples" not in capsys.readouterr().out  # those that are there are of another data set
