"""Masks of labels that may overlap, in folders and in bands: what is read, and what is refused."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import segjax
from segjax.data import check, labelled
from segjax.data.check.mask_report import Report
from segjax.data.check.report import print_report
from segjax.data.checked import checked
from segjax.data.sets.converted import convert
from segjax.data.sets.folder import FolderDefaults, folder, folder_defaults
from segjax.errors import DataError, ExperimentError

NAMES, LABELS = "abcdef", ("built", "green", "water", "wet", "wild")


def truth(name: str, labels: int = 3, seed: int = 0) -> np.ndarray:
    mask = np.random.default_rng([ord(name), seed]).integers(0, 2, (16, 20, labels)).astype(np.uint8)
    mask[0, 0] = 255
    return mask


def write(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(mask).save(path)
    elif path.suffix == ".npz":
        np.savez_compressed(path, mask=mask)
    elif path.suffix == ".npy":
        np.save(path, mask)
    else:
        assert path.suffix == ".tif"
        Image.fromarray(mask).save(path)


@pytest.fixture
def root(make_folder, tmp_path) -> Path:
    """Images without masks."""
    top = make_folder(NAMES)
    (top / "masks").rename(tmp_path / "not_these")
    for image in top.glob("images/*"):  # all of one size
        Image.fromarray(np.random.default_rng(ord(image.stem)).integers(0, 255, (16, 20, 3)).astype(np.uint8)).save(
            image
        )
    return top


def by_folders(root: Path, labels: tuple[str, ...] = LABELS[:3], yes: int = 1) -> None:
    for name in NAMES:
        mask = truth(name, len(labels))
        for band, label in enumerate(labels):
            one = mask[..., band]
            write(
                root / "masks" / label / f"{name}.png", one if yes == 1 else np.where(one == 1, yes, 0).astype(np.uint8)
            )


def records(root: Path) -> dict[str, np.ndarray]:
    data = folder(root)
    assert data.multilabel
    return {
        (source := data.open(split)).name_of(number): source[number]["mask"]  # pyright: ignore[reportAttributeAccessIssue]
        for split in ("train", "val", "test")
        for number in range(len(data.open(split)))
    }


def test_a_folder_for_each_label(root):
    by_folders(root)
    found = records(root)
    assert sorted(found) == list(NAMES)
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, truth(name))
    assert folder(root).class_names == LABELS[:3]


def test_classes_txt_gives_order_and_colours_and_a_label_without_a_file_is_nowhere(root):
    by_folders(root)
    (root / "classes.txt").write_text("water #0000ff\nbuilt\ngreen\n")
    (root / "masks" / "built" / "a.png").unlink()
    data = folder(root)
    assert (data.class_names, data.palette[0]) == (("water", "built", "green"), (0, 0, 255))
    mask, expected = records(root)["a"], truth("a")[..., [2, 0, 1]]
    expected[..., 1] = 0
    np.testing.assert_array_equal(mask, expected)


def test_masks_of_0_and_255_have_the_label_at_255(root):
    by_folders(root, yes=255)
    for name, mask in records(root).items():
        np.testing.assert_array_equal(mask, truth(name) == 1)
    assert any("255 is taken for the label" in note for note in folder_defaults(root).notes)


@pytest.mark.parametrize(("suffix", "labels"), [(".npy", 5), (".npz", 2), (".tif", 4), (".tif", 3)])
def test_a_band_for_each_label(root, suffix, labels):
    for name in NAMES:
        write(root / "masks" / f"{name}{suffix}", truth(name, labels))
    (root / "classes.txt").write_text("\n".join(LABELS[:labels]))
    for name, mask in records(root).items():
        np.testing.assert_array_equal(mask, truth(name, labels), err_msg=name)


def test_what_a_run_keeps_opens_it_again(root):
    by_folders(root)
    known = folder_defaults(root)
    kept = FolderDefaults.from_json(json.loads(json.dumps(dataclasses.asdict(known))))
    assert kept == known
    assert folder(root, kept).multilabel
    assert all(1 <= weight <= 10 for weight in known.class_weights)
    assert len(known.class_weights) == 3


def test_checking_says_labels_and_their_share(root, tmp_path):
    by_folders(root)
    report = check(root, picture=tmp_path / "drawn.png")
    assert isinstance(report, Report)
    assert not report.errors
    masks = np.stack([truth(one.pair.key) for one in report.train])
    expected = (masks == 1).sum((0, 1, 2)) / (masks != 255).sum((0, 1, 2))
    shares = report.to_json()["class_frequencies"]
    assert list(shares) == list(LABELS[:3])
    np.testing.assert_allclose([shares[name]["train"] for name in shares], expected)
    assert (tmp_path / "drawn.png").stat().st_size > 1000
    console = Console(file=io.StringIO(), width=200)
    print_report(report, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "label" in said
    assert f"{expected[0]:.2%}" in said
    assert "so labels may overlap" in said


def spoil(root: Path, name: str) -> None:
    if name == "value":
        write(root / "masks" / "green" / "a.png", np.full((16, 20), 7, np.uint8))
    elif name == "colours":
        write(root / "masks" / "green" / "a.png", np.random.default_rng(0).integers(0, 9, (16, 20, 3)).astype(np.uint8))
    elif name == "size":
        write(root / "masks" / "green" / "a.png", np.zeros((16, 18), np.uint8))
    elif name == "all sizes":
        for label in LABELS[:3]:
            write(root / "masks" / label / "a.png", np.zeros((15, 20), np.uint8))
    elif name == "missing":
        for label in LABELS[:3]:
            (root / "masks" / label / "a.png").unlink()
    elif name == "lonely":
        write(root / "masks" / "green" / "z.png", np.zeros((16, 20), np.uint8))
    elif name == "two":
        write(root / "masks" / "green" / "a_mask.png", np.zeros((16, 20), np.uint8))
    elif name == "classes":
        (root / "classes.txt").write_text("green\nblue\n")
    elif name == "other numbers":
        for path in root.glob("masks/green/*"):
            write(path, np.where(np.array(Image.open(path)) == 1, 255, 0).astype(np.uint8))
    elif name == "nothing":
        for path in root.glob("masks/*/*"):
            write(path, np.zeros((16, 20), np.uint8))
    else:
        assert name == "bands"
        for path in root.glob("masks/*"):
            for one in path.iterdir():
                one.unlink()
            path.rmdir()
        for one in NAMES:
            write(root / "masks" / f"{one}.npy", truth(one, 3 if one < "f" else 2))
        (root / "classes.txt").write_text("\n".join(LABELS[:3]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("value", r"green/a\.png has 320 pixels of the value 7 for the label 'green': a mask of a label is 0"),
        ("colours", r"green/a\.png is a coloured mask in the folder of one label: save it grey"),
        ("size", r"green/a\.png is 18x16 pixels and .*built/a\.png 20x16: masks of one image"),
        ("all sizes", r"a\.png is 20x15 pixels and its image .*a\.png 20x16: they must be the same size"),
        ("missing", r"images/a\.png has no mask in masks/: add it or take the image away"),
        ("lonely", r"green/z\.png has no image of its name"),
        ("two", r"green/a.*\.png is another mask of an image that has one of this label: keep one of the two"),
        ("classes", r"has masks in folders called built, green, water, and the classes green, blue: give a folder"),
        ("other numbers", r"has only 0 and 255 in the masks of 'green', and 1 in those of others: write 1 where"),
        ("nothing", r"has masks without any pixel of a label: there is nothing to learn"),
        ("bands", r"f\.npy is a mask of 2 bands, and there are 3 labels: give it a band for each"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence_that_names_the_file(root, name, said):
    by_folders(root)
    spoil(root, name)
    with pytest.raises(DataError, match=said):
        folder(root)


def test_a_mask_that_changes_after_checking_is_refused(root):
    by_folders(root)
    source = folder(root).open("train")
    write(root / "masks" / "green" / f"{source.name_of(0)}.png", np.full((16, 20), 3, np.uint8))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="labels that it did not have when it was checked"):
        source[0]


def test_grey_that_was_saved_in_three_bands_is_no_mask_of_labels(root):
    for name in NAMES:
        grey = np.random.default_rng(ord(name)).integers(0, 3, (16, 20, 1)).astype(np.uint8)
        write(root / "masks" / f"{name}.tif", np.repeat(grey, 3, axis=2))
    (root / "classes.txt").write_text("\n".join(LABELS[:3]))
    assert not folder(root).multilabel


def test_a_folder_of_two_classes_weighs_its_one_logit(root):
    for name in NAMES:
        mask = np.zeros((16, 20), np.uint8)
        mask[:4] = 1
        write(root / "masks" / f"{name}.png", mask)
    found = segjax.experiment(
        "segmentation", data="folder", root=str(root), class_balance=True, loss=("binary_cross_entropy",)
    )
    logits, mask = np.zeros((1, 1, 2, 1), np.float32), np.array([[[0, 1]]])
    assert float(found.loss(logits, mask)) == pytest.approx(np.log(2) * (1 + 3) / 2)  # three times as rare


def test_bands_without_names_are_refused_with_what_to_do(root):
    for name in NAMES:
        write(root / "masks" / f"{name}.npy", truth(name, 4))
    with pytest.raises(DataError, match=r"is a mask of 4 bands: .* name the labels in classes\.txt"):
        folder(root)


def test_outlines_of_a_tool_keep_what_overlaps(root, tmp_path):
    """Through COCO's format and back; every band has the whole of its label."""
    by_folders(root)
    convert(root, tmp_path / "coco")
    data = labelled(tmp_path / "coco", masks="multilabel")
    assert (data.class_names, data.multilabel) == (LABELS[:3], True)
    for split in ("train", "val", "test"):
        source = checked(data.open(split))
        for index in range(len(source)):
            np.testing.assert_array_equal(source[index]["mask"], truth(Path(source.name_of(index)).stem))  # pyright: ignore
    found = segjax.experiment("segmentation", data="labelled", root=str(tmp_path / "coco"), labels="overlapping")
    assert found.data.multilabel
    with pytest.raises(ExperimentError, match="A folder says by its masks whether labels overlap"):
        segjax.experiment("folder", root=str(root), labels="overlapping")
