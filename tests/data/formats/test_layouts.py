import os
import unicodedata

import numpy as np
import pytest

from segjax.data.formats.layouts import find
from segjax.data.formats.splits import Splits, pairs_of, split, write_lists
from segjax.errors import DataError

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")


def keys(pairs):
    return [pair.key for pair in pairs]


def sentences(found):
    return [problem.sentence for problem in found.problems]


@pytest.mark.parametrize(
    ("images", "masks", "suffix", "mask_end"),
    [
        ("images", "masks", ".png", ""),
        ("images", "masks", ".jpg", "_mask"),
        ("images", "labels", ".PNG", ""),
        ("images", "annotations", ".tif", ""),
        ("imgs", "masks", ".webp", "_L"),
        ("image", "mask", ".bmp", ""),
        ("img_dir", "ann_dir", ".jpeg", ""),
        ("imagesTr", "labelsTr", "_0000.png", ""),
        ("JPEGImages", "SegmentationClass", ".jpg", ""),
        ("leftImg8bit/berlin", "gtFine/berlin", "_leftImg8bit.png", "_gtFine_labelTrainIds"),
        ("images/deep/down", "masks/deep/down", ".png", ""),
    ],
)
def test_layouts_of_several_tools(make_folder, images, masks, suffix, mask_end):
    found = find(make_folder(images=images, masks=masks, suffix=suffix, mask_end=mask_end))
    splits = split(found)
    below = images.partition("/")[2]
    pairs = sorted(splits.train + splits.val + splits.test)
    assert keys(pairs) == [f"{below}/{name}".strip("/") for name in "abcde"]
    assert all(pair.image.name == pair.key[-1] + suffix for pair in pairs)
    assert all(pair.mask.name == pair.key[-1] + mask_end + ".png" for pair in pairs)
    assert (len(splits.train), len(splits.val), len(splits.test), splits.by_hash) == (3, 1, 1, True)
    assert found.problems == []


@pytest.mark.parametrize(
    ("images", "masks"),
    [("img_dir/{}", "ann_dir/{}"), ("images/{}", "labels/{}"), ("{}/images", "{}/masks"), ("{}", "{}annot")],
)
@pytest.mark.parametrize("test", ["val", "test"])
def test_folders_say_the_split(make_folder, images, masks, test):
    roots = [
        make_folder(members, images.format(name), masks.format(name))
        for name, members in {"train": "abc", test: "de"}.items()
    ]
    root = roots[0]
    found = find(root)
    splits = split(found)
    assert (keys(splits.train), keys(splits.val)) == (["train/a", "train/c"], ["train/b"])
    assert keys(splits.test) == [f"{test}/d", f"{test}/e"]
    *tested, held = found.notes
    assert tested == ["Nothing is for testing but val, which is scored once, at the end."] * (test == "val")
    assert held == (
        f"{root} does not say which images validate: 1 of the 3 for training do, chosen by a hash of their names, "
        "tiles of one image together."
    )
    assert not splits.by_hash
    assert found.problems == []


@pytest.mark.parametrize("there", [["test"], ["val"], ["test", "val"]])
def test_what_was_put_aside_does_not_train(make_folder, there):
    (root, *_) = [make_folder("abcde", images=f"images/{name}", masks=f"masks/{name}") for name in there]
    found = find(root)
    split(found)
    (problem,) = found.problems
    assert (
        f"set has a folder {there[0]} and none for training: put what trains into one called train" in problem.sentence
    )
    train, val, test = (pairs_of(found, [f"{there[0]}/{name}"]) for name in "abc")
    write_lists(root / "splits", Splits(train, val, test))
    found = find(root)
    split(found)
    assert found.problems == []


def test_a_test_folder_without_masks_leaves_validation_to_score(make_folder):
    roots = [
        make_folder(members, f"images/{name}", f"masks/{name}")
        for name, members in {"train": "abc", "val": "de", "test": "fg"}.items()
    ]
    root = roots[0]
    for mask in (root / "masks" / "test").iterdir():
        mask.unlink()
    (root / "masks" / "test").rmdir()
    found = find(root)
    assert keys(split(found).test) == ["val/d", "val/e"]
    assert "images/test has no masks and is not used." in found.notes[0]


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_a_folder_for_validation_is_honoured(make_folder, val):
    roots = [
        make_folder(members, f"images/{name}", f"masks/{name}")
        for name, members in {"train": "abc", val: "de", "test": "fg"}.items()
    ]
    root = roots[0]
    found = find(root)
    splits = split(found)
    assert keys(splits.train) == ["train/a", "train/b", "train/c"]
    assert keys(splits.val) == [f"{val}/d", f"{val}/e"]
    assert keys(splits.test) == ["test/f", "test/g"]
    assert found.notes == found.problems == []


def test_a_second_folder_of_one_split_is_left_out(make_folder):
    roots = [
        make_folder(members, f"images/{name}", f"masks/{name}")
        for name, members in {"train": "abc", "val": "de", "test": "fg", "testing": "hi"}.items()
    ]
    found = find(roots[0])
    assert keys(split(found).test) == ["test/f", "test/g"]
    assert found.notes == ["The split testing is not used: test is scored."]


def test_hidden_and_other_files_are_passed_over(make_folder, save):
    root = make_folder()
    for name in (".DS_Store", "._a.png", "notes.txt", "Thumbs.db"):
        save(root / "images" / name, "x")
    save(root / "images" / ".cache" / "b.png", "x")
    found = find(root)
    assert len(found.images) == 5
    assert found.problems == []


@pytest.mark.parametrize(
    "name", ["two words", 'it\'s "quoted"', "日本語", "ñandú", "100%$x$", "a.b.c", "[red]x[/red]", "-r"]
)
def test_any_name_works(make_folder, name):
    splits = split(find(make_folder(["x", "y", name], suffix=".JPG")))
    assert set(keys(splits.train + splits.val + splits.test)) == {"x", "y", name}


def test_an_accent_is_the_same_in_both_spellings(make_folder, save):
    root = make_folder(["x"])
    composed, decomposed = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    assert composed != decomposed
    (root / "images" / "x.png").rename(root / "images" / f"{decomposed}.png")
    (root / "masks" / "x.png").rename(root / "masks" / f"{composed}.png")
    found = find(root)
    assert set(found.images) == set(found.masks) == {composed}


def test_the_split_by_hash_depends_on_names_alone(make_folder):
    first = split(find(make_folder(NAMES, root="one")))
    again = split(find(make_folder(NAMES[::-1], root="two", suffix=".jpg")))
    assert keys(first.test) == keys(again.test) == ["d", "j"]
    assert keys(first.val) == keys(again.val) == ["f"]
    assert keys(first.train) == sorted(set(NAMES) - {"d", "j", "f"})


def test_the_split_is_written_down_and_read_back(make_folder):
    root = make_folder([*NAMES, "日本 語"])
    splits = split(find(root))
    assert write_lists(root / "splits", splits)
    assert (root / "splits" / "test.txt").read_text("utf-8").splitlines() == keys(splits.test)
    assert (root / "splits" / "val.txt").read_text("utf-8").splitlines() == keys(splits.val)
    assert sorted(os.listdir(root / "splits")) == ["test.txt", "train.txt", "val.txt"]
    found = find(root)
    assert split(found) == splits._replace(by_hash=False)
    assert found.problems == found.notes == []


def test_the_split_of_any_names_is_read_back(make_folder):
    names = ("photo ", " lead", "a\u2028b", "c\x85d", "e\x0bf", "x.y", "plain")
    root = make_folder(names)
    before = split(find(root))
    assert write_lists(root / "splits", before)
    found = find(root)
    after = split(found)
    assert sentences(found) == []
    for name in ("train", "val", "test"):
        assert keys(getattr(after, name)) == keys(getattr(before, name))


def test_a_folder_that_cannot_be_written_keeps_its_split(make_folder, save):
    root = make_folder()
    save(root / "splits", "a file in the way")
    assert not write_lists(root / "splits", split(find(root)))


def test_lists_decide_and_may_name_files(make_folder, save):
    root = make_folder(NAMES)
    save(root / "splits" / "train.txt", "\ufeffa\n b \n\nc.png\n")
    save(root / "splits" / "val.txt", "d\ne\n")
    found = find(root)
    splits = split(found)
    assert (keys(splits.train), keys(splits.val), keys(splits.test)) == (["a", "b"], ["c"], ["d", "e"])
    assert "Nothing is for testing but val" in found.notes[0]
    assert "has them: 5 images." in found.notes[1]
    assert "1 of the 3 for training do" in found.notes[2]
    assert found.problems == []
    save(root / "splits" / "test.txt", "f\n")
    found = find(root)
    splits = split(found)
    assert (keys(splits.train), keys(splits.val), keys(splits.test)) == (["a", "b", "c"], ["d", "e"], ["f"])
    assert len(found.notes) == 1
    assert "has them: 4 images." in found.notes[0]


def test_pictures_that_voc_does_not_list_need_no_mask(make_folder, save):
    root = make_folder(images="JPEGImages", masks="SegmentationClass")
    (root / "SegmentationClass" / "e.png").unlink()
    save(root / "ImageSets" / "Segmentation" / "train.txt", "a\nb\n")
    save(root / "ImageSets" / "Segmentation" / "val.txt", "c\nd\n")
    found = find(root)
    assert keys(split(found).test) == ["c", "d"]
    assert found.problems == []


def test_links_to_folders_are_followed_once(make_folder, tmp_path):
    elsewhere = make_folder(root="elsewhere")
    root = tmp_path / "set"
    (root / "images").mkdir(parents=True)
    (root / "images" / "more").symlink_to(elsewhere / "images")
    (root / "images" / "more again").symlink_to(elsewhere / "images")
    (root / "images" / "up").symlink_to("..")
    (root / "masks").mkdir()
    (root / "masks" / "more").symlink_to(elsewhere / "masks")
    found = find(root)
    assert sorted(found.images) == ["more/a", "more/b", "more/c", "more/d", "more/e"]
    assert [problem.severity for problem in found.problems] == ["warning", "warning"]
    assert "images/more again leads to a folder that is read already: it is not followed." in sentences(found)[0]


def remove(path):
    path.unlink()


BAD_FOLDERS = {
    "no such folder": (lambda root, save: root.rename(root.parent / "other"), "set is not there"),
    "a file": (lambda root, save: (root.rename(root.parent / "o"), save(root, "x")), "set is not a folder"),
    "empty": (lambda root, save: [(root / part).rename(root.parent / part) for part in ("images", "masks")],
              "set has no folders that are understood: .*imagesTr"),
    "no masks": (lambda root, save: (root / "masks").rename(root.parent / "masks"), "set has images/ but no masks/"),
    "empty images": (lambda root, save: [remove(p) for p in (root / "images").iterdir()],
                     r"images holds no images \(\.png, "),
    "masks in text": (lambda root, save: [p.rename(p.with_suffix(".txt")) for p in (root / "masks").iterdir()],
                      "masks holds no images"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_folders_that_are_not_understood(make_folder, save, name):
    spoil, sentence = BAD_FOLDERS[name]
    root = make_folder()
    spoil(root, save)
    with pytest.raises(DataError, match=sentence) as caught:
        find(root)
    assert str(caught.value).endswith(".")


BAD_NAMES = {
    "missing mask": (lambda root, save: remove(root / "masks/b.png"), r"images/b\.png has no mask in masks/: add it"),
    "missing image": (lambda root, save: remove(root / "images/b.png"), r"masks/b\.png has no image of its name"),
    "same stem": (lambda root, save: save(root / "images/b.jpg", "x"), r"images/b\.png has the same name as b\.jpg"),
    "two masks": (lambda root, save: save(root / "masks/b_mask.png", "x"),
                  r"b_mask\.png is a mask of the same image as b\.png: keep one of the two"),
    "unknown in list": (lambda root, save: (save(root / "splits/train.txt", "a\nc\nzebra\n"),
                                            save(root / "splits/test.txt", "b\n")),
                        r"train\.txt names 'zebra', which is no image there"),
    "in the list for validation": (lambda root, save: (save(root / "splits/train.txt", "a\nb\n"),
                                                       save(root / "splits/val.txt", "c\nd\n"),
                                                       save(root / "splits/test.txt", "d\ne\n")),
                                   "splits names 'd' for validation and for testing"),
    "in both lists": (lambda root, save: (save(root / "splits/train.txt", "a\nb\n"),
                                          save(root / "splits/test.txt", "b\n")),
                      "splits names 'b' for training and for testing"),
    "one list": (lambda root, save: save(root / "splits/train.txt", "a\n"), r"splits/test\.txt is not there"),
    "empty list": (lambda root, save: (save(root / "splits/train.txt", "a\nb\n"), save(root / "splits/test.txt", "\n")),
                   r"test\.txt lists nothing"),
    "bad class list": (lambda root, save: save(root / "classes.txt", "a\na\n"), "has the class 'a' twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_problems_of_names_are_listed(make_folder, save, name):
    spoil, sentence = BAD_NAMES[name]
    root = make_folder()
    spoil(root, save)
    found = find(root)
    split(found)
    assert [problem.severity for problem in found.problems] == ["error"]
    with pytest.raises(DataError, match=sentence):
        raise DataError(sentences(found)[0])


@pytest.mark.parametrize(("names", "images"), [("a", "1 image"), ("ab", "2 images")])
def test_too_few_pairs_cannot_be_split(make_folder, names, images):
    found = find(make_folder(names))
    split(found)
    said = f"has {images} with a mask: training, validation and testing need one each."
    assert said in sentences(found)[0]


def test_a_single_pair_for_training_cannot_be_split(make_folder, save):
    root = make_folder("abc")
    save(root / "splits" / "train.txt", "a\n")
    save(root / "splits" / "test.txt", "b\nc\n")
    found = find(root)
    split(found)
    assert sentences(found) == [f"{root} has 1 image to train on: training and validation need one each."]


def test_tiles_of_one_image_test_together(make_folder):
    names = [f"{image}_{row}_{column}" for image in "abcdefgh" for row in range(2) for column in range(2)]
    splits = split(find(make_folder(names)))
    images = [{pair.key[0] for pair in part} for part in splits[:3]]
    assert [len(part) for part in images] == [5, 1, 2]
    assert len(set.union(*images)) == 8


def test_roboflow_has_masks_beside_the_images(make_folder, save):
    for names, split_name in (("abc", "train"), ("d", "valid"), ("ef", "test")):
        root = make_folder(names, images=split_name, masks=split_name, suffix=".jpg", mask_end="_mask")
        save(root / split_name / "_classes.csv", "Pixel Value, Class\n0, background\n1, car\n2, road, wet\n")
    found = find(root)
    splits = split(found)
    assert (found.layout.tool, found.problems) == ("Roboflow", [])
    assert [[pair.image.name for pair in part] for part in splits[:3]] == [
        ["a.jpg", "b.jpg", "c.jpg"], ["d.jpg"], ["e.jpg", "f.jpg"],
    ]  # fmt: skip
    assert [pair.mask.name for pair in splits.test] == ["e_mask.png", "f_mask.png"]
    assert found.classes is not None
    assert found.classes.names == ("background", "car", "road, wet")
    for text in ("Pixel Value, Class\n0, a\n2, b\n", "Pixel Value, Class\n", "Pixel Value, Class\nx, b\n"):
        save(root / "train" / "_classes.csv", text)
        (sentence,) = sentences(find(root))
        assert "_classes.csv does not" in sentence
    for name in ("train", "test"):
        save(root / name / "_classes.csv", "Pixel Value, Class\n0, background\n1, dog\n")
    save(root / "valid" / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n")
    (sentence,) = sentences(find(root))
    assert "valid/_classes.csv has the classes background, cat, and train/ background, dog" in sentence


def test_nnunets_files_for_each_channel_are_one_image(tmp_path, save):
    for name in ("a", "b"):
        for channel in ("0000", "0001", "0002"):
            save(tmp_path / "imagesTr" / f"{name}_{channel}.png", np.zeros((9, 9), np.uint8))
        save(tmp_path / "labelsTr" / f"{name}.png", np.zeros((9, 9), np.uint8))
    found = find(tmp_path)
    assert found.channels == ("_0000", "_0001", "_0002")
    assert sorted(found.images) == ["a", "b"]


@pytest.mark.parametrize(
    ("image", "file", "text", "said"),
    [
        ("images/train/a.jpg", "labels/train/a.txt", "0 0.5 0.5 0.2 0.2\n", "YOLO's .txt files"),
        ("train/images/a.jpg", "train/labels/a.txt", "0 0.1 0.1 0.2 0.2 0.1 0.3\n", "YOLO's .txt files"),
        ("a.jpg", "a.json", '{"version": "5.0", "shapes": []}', "labelme's .json"),
        ("a.jpg", "via_project.json", '{"_via_settings": {}}', "VIA's .json"),
        ("a.jpg", "project.json", '[{"annotations": [{"result": []}]}]', "Label Studio's .json"),
        ("a.jpg", "a.xml", "<annotation></annotation>", "labelImg's .xml files"),
    ],
)
def test_what_labelling_tools_leave_is_named(tmp_path, save, image, file, text, said):
    save(tmp_path / image, np.zeros((9, 9, 3), np.uint8))
    save(tmp_path / file, text)
    with pytest.raises(DataError, match=rf"{said}.*"):
        find(tmp_path)
