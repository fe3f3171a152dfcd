import functools
import operator
from pathlib import Path

import numpy as np
import pytest

from segjax.cli import main
from segjax.data import folder, folder_defaults
from segjax.data.checked import checked
from segjax.data.formats.grouped import write_splits
from segjax.data.formats.layouts import find
from segjax.data.formats.splits import split
from segjax.errors import DataError

NAMES = [f"p{patient}_visit{visit}" for patient in range(6) for visit in range(3)]


def keys(root: Path, fold: int | None = None) -> list[list[str]]:
    return [[pair.key for pair in part] for part in split(find(root), fold)[:3]]


@pytest.mark.parametrize("by", ["(p[0-9])_", "table"])
def test_groups_are_never_torn_apart(make_folder, tmp_path, by):
    root = make_folder(NAMES)
    if by == "table":
        rows = [f"{name}{'.png' if number % 2 else ''}, {name[:2]}" for number, name in enumerate(NAMES)]
        (tmp_path / "groups.csv").write_text("\n".join(rows))
        by = str(tmp_path / "groups.csv")
    assert write_splits(root, by) == [root / "splits"]
    parts = keys(root)
    assert [len(part) for part in parts] == [12, 3, 3]
    assert sorted(functools.reduce(operator.iadd, parts, [])) == sorted(NAMES)
    patients = [{key[:2] for key in part} for part in parts]
    assert not any(one & other for one, other in ((patients[0], patients[1]), (patients[0], patients[2])))
    with pytest.raises(DataError, match=r"train\.txt is there already: take its folder away"):
        write_splits(root, by)


def test_every_image_tests_in_one_fold(make_folder, capsys):
    root = make_folder(NAMES)
    assert main(["data", "split", str(root), "--groups", "p[0-9]", "--folds", "3"]) == 0
    assert capsys.readouterr().out.split() == [str(root / "splits" / f"fold{number}") for number in (1, 2, 3)]
    folds = [keys(root, number) for number in (1, 2, 3)]
    assert sorted(key for fold in folds for key in fold[2]) == sorted(NAMES)
    for fold in folds:
        assert sorted(functools.reduce(operator.iadd, fold, [])) == sorted(NAMES)
        patients = [{key[:2] for key in part} for part in fold]
        assert sum(map(len, patients)) == 6  # none is in two
    data = folder(root, folder_defaults(root, fold=2))
    for part, names in zip(("train", "val", "test"), folds[1], strict=True):
        source = checked(data.open(part))
        assert [source.name_of(index) for index in range(len(source))] == names


@pytest.mark.parametrize(
    ("groups", "folds", "sentence"),
    [
        ("(x[0-9])", None, r"finds no group in 'p0_visit0': write one that fits every name"),
        (" ", None, r"--groups says nothing"),
        ("x?", None, r"finds nothing in 'p0_visit0'"),
        ("absent.csv", None, r"absent\.csv is not there: give a CSV file of names and groups"),
        ("(p[0-9]", None, "is no regular expression, and no file"),
        ("p", None, "has 1 groups of images, such as 'p', and 3 are needed: say by --groups"),
        ("p[0-9]", 1, "--folds is 1: at least 2 are needed"),
        ("(p[0-9])", 7, "has 6 groups of images, such as 'p0', and 7 are needed"),
    ],
)
def test_groups_that_cannot_be_shared_out_are_named(make_folder, groups, folds, sentence):
    root = make_folder(NAMES)
    with pytest.raises(DataError, match=sentence):
        write_splits(root, groups, folds)
    assert not (root / "splits").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("p0_visit0,p0,1\n", "has the line 'p0_visit0,p0,1'"), ("p0_visit0,p0\n", "has no line of 'p0_")],
)
def test_a_table_of_groups_that_is_wrong_is_named(make_folder, tmp_path, text, sentence):
    (tmp_path / "groups.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        write_splits(make_folder(NAMES), str(tmp_path / "groups.csv"))


def test_a_table_of_groups_may_have_any_names(make_folder, tmp_path):
    names = ("photo ", " lead", "a\u2028b", "c\x85d", "plain", "x.y")
    root = make_folder(names)
    text = "".join(f"{name}.png,{number // 2}\n" for number, name in enumerate(names))
    (tmp_path / "groups.csv").write_text(text, "utf-8")
    write_splits(root, str(tmp_path / "groups.csv"))
    found = find(root)
    parts = [{pair.key for pair in part} for part in split(found)[:3]]
    assert found.problems == []
    assert sorted(map(sorted, parts)) == sorted(sorted(names[k : k + 2]) for k in (0, 2, 4))


def test_a_fold_that_is_not_there_is_named(make_folder):
    root = make_folder()
    with pytest.raises(DataError, match=r"has no splits/fold4 .* `segjax data split PATH --folds K` writes K of them"):
        folder_defaults(root, fold=4)
    write_splits(root, folds=3)
    with pytest.raises(DataError, match=r"has no splits/fold4 .*: it has fold1, fold2, fold3"):
        folder_defaults(root, fold=4)


def test_classes_of_masks_are_kept_joined_and_ignored(make_folder):
    root = make_folder()
    (root / "classes.txt").write_text("water #0000ff\ngrass\nforest #00ff00\n")
    known = folder_defaults(root, classes=("green=grass+forest", "water"))
    data = folder(root, known)
    assert data.class_names == ("green", "water")
    assert data.palette[1] == (0, 0, 255)
    whole = folder(root)
    pairs = [(whole.open("train")[index]["mask"], data.open("train")[index]["mask"]) for index in range(3)]
    for before, after in pairs:
        np.testing.assert_array_equal(after, np.where(before == 0, 1, 0))
    counts = np.array([[(after == number).sum() for number in (0, 1)] for _, after in pairs])
    share = counts.sum(0) / counts.sum()
    np.testing.assert_allclose(known.class_weights, np.median(share) / share)
    two = folder(root, folder_defaults(root, classes=("forest", "water")))
    np.testing.assert_array_equal(two.open("train")[0]["mask"], np.array([1, 255, 0], np.uint8)[pairs[0][0]])
    with pytest.raises(DataError, match="one class is kept, and all else is ignored: keep two or more"):
        folder_defaults(root, classes=("water",))
