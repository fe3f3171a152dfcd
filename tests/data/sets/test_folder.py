import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segjax.data import Statistics
from segjax.data.check.masks import check_masks as check
from segjax.data.checked import CheckedSource
from segjax.data.formats.held_out import say_once
from segjax.data.sets.folder import FolderDefaults, FolderSource, folder, folder_defaults
from segjax.errors import DataError

module = sys.modules["segjax.data.sets.folder"]


def test_records_are_the_pictures_and_masks(make_folder):
    root = make_folder("abcdefgh")
    dataset = folder(root)
    assert (dataset.name, dataset.class_names) == ("set", ("class 0", "class 1", "class 2"))
    assert len(dataset.palette) == 3
    names = {}
    for split in ("train", "val", "test"):
        source = dataset.open(split)
        listed = names[split] = (root / "splits" / f"{split}.txt").read_text().split()
        assert len(source) == len(listed)
        for number, name in enumerate(listed):
            record = source[number]
            np.testing.assert_array_equal(record["image"], np.asarray(Image.open(root / "images" / f"{name}.png")))
            np.testing.assert_array_equal(record["mask"], np.asarray(Image.open(root / "masks" / f"{name}.png")))
            assert record["image"].dtype == record["mask"].dtype == np.uint8
    assert sorted(names["train"] + names["val"] + names["test"]) == list("abcdefgh")


def test_a_second_start_uses_the_split_that_was_written(make_folder, save, capfd):
    root = make_folder("abcdefgh")
    say_once.cache_clear()
    folder(root).open("train")
    said = "1 and 2 of 8 do, chosen by a hash of their names; training and scoring write them to splits/.\n"
    assert capfd.readouterr().err.endswith(said)
    first = {name: (root / "splits" / f"{name}.txt").read_text().split() for name in ("train", "val", "test")}
    # An image that is added later changes nothing about what tests.
    for part in ("images", "masks"):
        save(root / part / "aa.png", (root / part / "a.png").read_bytes())
    report = check(root)
    assert {name: [one.pair.key for one in seen] for name, seen in report.by_split().items()} == first
    assert "has them: 1 image." in report.notes[0]


def test_a_folder_that_may_not_be_written_trains_all_the_same(make_folder, tmp_path):
    root = make_folder("abcdefgh")
    for path in (root.parent, *root.parents[1:3], root, *root.rglob("*")):
        path.chmod(0o755)
    # Root may write everywhere, so another user opens it.
    code = """
import os, sys
from segjax.data.sets.folder import folder
if os.getuid() == 0:
    os.chdir(sys.argv[1])
    os.setgroups([])
    os.setuid(65534)
else:
    os.chdir(sys.argv[1])
    os.chmod("set", 0o555)
dataset = folder("set")
print(*(len(dataset.open(split)) for split in ("train", "val", "test")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root.parent)], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    root.chmod(0o755)
    assert done.stdout.split() == ["5", "1", "2"], done.stderr
    assert [line[:12] for line in done.stderr.splitlines()] == ["No list says"]
    assert not (root / "splits").exists()


def test_defaults_are_worked_out_from_what_trains(make_folder, save):
    root = make_folder("abcde", suffix=".bmp")
    save(root / "splits" / "train.txt", "a\nb\nc\n")
    save(root / "splits" / "val.txt", "d\n")
    save(root / "splits" / "test.txt", "e\n")
    save(root / "classes.txt", "sky\nroad\ncar\nghost\n")
    mask = np.zeros((16, 20), np.uint8)
    mask[:4, :5] = 2  # the only car: 20 of 320 pixels
    save(root / "masks" / "a.png", mask)
    for name in "bc":
        road = np.asarray(Image.open(root / "masks" / f"{name}.png"))
        save(root / "masks" / f"{name}.png", np.where(road == 2, 255, road).astype(np.uint8))
    found = folder_defaults(root)

    images = [np.asarray(Image.open(root / "images" / f"{name}.bmp")).reshape(-1, 3) / 255 for name in "abc"]
    np.testing.assert_allclose(found.mean, np.concatenate(images).mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.std, np.concatenate(images).std(0), rtol=1e-9)

    # Median frequency balancing as it is written: pixels of a class over all labelled pixels of images that have it.
    masks = [np.asarray(Image.open(root / "masks" / f"{name}.png")).ravel() for name in "abc"]
    frequency = []
    for label in range(3):
        having = np.concatenate([one for one in masks if (one == label).any()])
        frequency.append((having == label).sum() / (having != 255).sum())
    expected = [*np.median(frequency) / frequency, 1]
    np.testing.assert_allclose(found.class_weights, expected, rtol=1e-9)
    assert found.class_names == ("sky", "road", "car", "ghost")
    assert found.crop == 32


def test_very_rare_classes_weigh_no_more_than_ten(make_folder, save):
    root = make_folder("abcd")
    for name in "abcd":
        mask = np.zeros(np.asarray(Image.open(root / "images" / f"{name}.png")).shape[:2], np.uint8)
        mask[0, 0], mask[1:4] = 2, 1
        save(root / "masks" / f"{name}.png", mask)
    assert folder_defaults(root).class_weights[2] == 10


@pytest.mark.parametrize(("height", "width", "crop"), [(40, 33, 32), (100, 200, 96), (300, 290, 256), (8, 500, 32)])
def test_crops_fit_the_pictures(tmp_path, save, height, width, crop):
    for name in "abc":
        save(tmp_path / "images" / f"{name}.png", np.full((height, width), ord(name), np.uint8))
        save(tmp_path / "masks" / f"{name}.png", np.eye(height, width).astype(np.uint8))
    assert folder_defaults(tmp_path).crop == crop


def test_defaults_survive_json_and_spare_the_reading(make_folder):
    root = make_folder()
    found = folder_defaults(root)
    kept = json.loads(json.dumps(dataclasses.asdict(found)))
    again = FolderDefaults.from_json(kept)
    assert again == found
    dataset = folder(root.parent / "moved away", again)
    assert dataset.class_names == found.class_names
    with pytest.raises(DataError, match="moved away is not there"):
        dataset.open("train")
    assert len(folder(root, again).open("train")) == 3


def test_a_folder_of_other_classes_is_refused(make_folder):
    root = make_folder()
    other = dataclasses.replace(folder_defaults(root), class_names=("a", "b"))
    with pytest.raises(DataError, match="has the classes class 0, class 1, class 2 where a, b were expected"):
        folder(root, other).open("train")


def test_training_refuses_what_the_check_lists(make_folder, save):
    root = make_folder([f"{i:02}" for i in range(12)])
    save(root / "images" / "03.png", b"text")
    save(root / "masks" / "04.png", b"")
    listed = [problem.sentence for problem in check(root).errors]
    assert len(listed) == 2
    for start in (folder, folder_defaults):
        with pytest.raises(DataError) as caught:
            start(root)
        assert str(caught.value).splitlines() == [
            *listed, f"`segjax data check {root}` lists everything that is wrong.",
        ]  # fmt: skip


def test_a_refusal_lists_ten_problems_and_counts_the_rest(make_folder):
    root = make_folder([f"{i:02}" for i in range(12)])
    for image in (root / "images").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        folder(root)
    lines = str(caught.value).splitlines()
    assert len(lines) == 12
    assert lines[10] == "... and 2 more errors."


def test_mended_folders_are_checked_again(make_folder, save):
    root = make_folder()
    kept = (root / "masks" / "a.png").read_bytes()
    save(root / "masks" / "a.png", b"")
    with pytest.raises(DataError, match="is empty"):
        folder(root)
    save(root / "masks" / "a.png", kept)
    assert len(folder(root).open("train")) == 3


def test_files_that_change_after_the_check_get_a_sentence(make_folder, save):
    root = make_folder()
    source = folder(root).open("train")
    assert isinstance(source, CheckedSource)
    assert isinstance(source.source, FolderSource)
    pair = source.source.pairs[0]
    mask = np.asarray(Image.open(pair.mask))
    save(pair.mask, mask[1:])
    with pytest.raises(DataError, match=r"a\.png is 20x15 pixels and its image .* 20x16: they must be the same size"):
        source[0]
    save(pair.mask, mask + np.uint8(1))
    with pytest.raises(DataError, match=r"a\.png has labels that it did not have when it was checked"):
        source[0]
    os.remove(pair.image)
    with pytest.raises(DataError, match=r"a\.png is not there"):
        source[0]


def test_folders_that_changed_are_checked_again(make_folder, save, monkeypatch):
    root = make_folder("abcdefgh")
    dataset = folder(root)
    read = []
    monkeypatch.setattr(module, "check_masks", lambda root, **settings: read.append(root) or check(root, **settings))
    for split in ("train", "val", "test"):  # which writes the lists, and they say what was so before
        dataset.open(split)
    assert read == []
    save(root / "masks" / "b.png", b"")
    with pytest.raises(DataError, match=r"b\.png is empty"):
        folder(root).open("train")
    (root / "masks" / "b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png has no mask in masks/"):
        folder(root)
    assert len(read) == 2


def test_other_splits_cannot_be_opened(make_folder):
    with pytest.raises(ValueError, match="set has the splits train, val and test, not 'other'"):
        folder(make_folder()).open("other")


def test_a_folder_says_how_its_images_are_normalised_and_changed(make_folder):
    root = make_folder()
    found, dataset = folder_defaults(root), folder(root)
    assert dataset.statistics == Statistics(found.mean, found.std)
    assert dataset.augment is not None
    assert dataset.augment.crop == (found.crop, found.crop)


def test_black_and_white_masks_train_as_two_classes(make_folder):
    root = make_folder()
    for mask in (root / "masks").iterdir():
        Image.fromarray(np.where(np.asarray(Image.open(mask)) == 1, 255, 0).astype(np.uint8)).save(mask)
    dataset = folder(root)
    record = dataset.open("train")[0]
    raw = np.asarray(Image.open(root / "masks" / "a.png"))
    np.testing.assert_array_equal(record["mask"], raw == 255)
    assert dataset.class_names == ("background", "foreground")
    assert "255 is taken for class 1" in folder_defaults(root).notes[0]


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_same_classes_in_another_order_are_numbered_as_they_were(make_folder, save, overlapping):
    root, other = make_folder("abcdefgh"), make_folder("abcdefgh", root="other")
    for top, names in ((root, "water\ngrass\nstone"), (other, "stone\nwater\ngrass")):
        save(top / "classes.txt", names)
        for path in sorted((top / "masks").glob("*.png")):
            mask = np.asarray(Image.open(path))  # of water 0, grass 1, stone 2
            mask = mask if top == root else np.array([1, 2, 0], np.uint8)[mask]
            if overlapping:
                path.unlink()
                np.save(path.with_suffix(".npy"), (mask[..., None] == np.arange(3)).astype(np.uint8))
            else:
                save(path, mask)
    known = folder_defaults(root)
    assert known.multilabel == overlapping
    one, two = folder(root, known).open("train"), folder(other, known).open("train")
    for index in range(len(one)):
        np.testing.assert_array_equal(one[index]["mask"], two[index]["mask"])
