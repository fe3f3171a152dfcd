"""What holds for every labelling tool: the same boxes, the same masks, and the same again in COCO's format."""

import dataclasses
import json
import sys
from collections.abc import Callable
from functools import reduce
from math import prod
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO
from tool_folders import BOX, COUNT, SIZE, TOOLS, corners, image, text

from segjax.data import LabelledDefaults, check, folder, labelled, labelled_defaults
from segjax.data.checked import checked
from segjax.data.formats.box_layouts import find_boxes
from segjax.data.formats.held_out import say_once
from segjax.data.sets.converted import convert
from segjax.errors import DataError

SPLITS = ("train", "val", "test")


def number_of(name: str) -> int:
    return int(Path(name).stem)


def outline(number: int) -> np.ndarray:
    """The pixels whose middle is on the inner side of every edge of the dog, which is convex."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    points = corners(number)
    edges = zip(points, points[1:] + points[:1], strict=True)
    return np.all([(bx - ax) * (y - ay) >= (by - ay) * (x - ax) for (ax, ay), (bx, by) in edges], axis=0)


@pytest.fixture(params=TOOLS.items(), ids=lambda one: one[0])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A tool and the folder that it has left."""
    tool, make = request.param
    make(tmp_path / "set")
    return tool, tmp_path / "set"


def test_boxes_are_those_that_were_drawn(left: tuple[str, Path]):
    tool, root = left
    data = labelled(root)
    assert set(data.class_names) == {"cat", "dog"}
    sources = {split: checked(data.open(split)) for split in SPLITS}
    seen = [number_of(source.name_of(i)) for source in sources.values() for i in range(len(source))]
    assert sorted(seen) == list(range(COUNT))
    assert tool != "YOLO" or {number_of(sources["test"].name_of(i)) for i in range(2)} == {6, 7}
    for source in sources.values():
        for index in range(len(source)):
            record, points = source[index], np.array(corners(number_of(source.name_of(index))), np.float32)
            drawn = {data.class_names[label]: box for label, box in zip(record["labels"], record["boxes"], strict=True)}
            np.testing.assert_allclose(drawn["cat"], BOX, atol=1e-4)
            np.testing.assert_allclose(drawn["dog"], [*points.min(0), *np.ptp(points, axis=0)], atol=1e-4)


def test_masks_are_those_that_were_drawn(left: tuple[str, Path]):
    _, root = left
    data = labelled(root, masks=True, class_names=("dog",))
    assert data.class_names == ("background", "dog")
    source = checked(data.open("train"))
    for index in range(len(source)):
        found, truth = source[index]["mask"] == 1, outline(number_of(source.name_of(index)))
        assert (found ^ truth).sum() <= 0.05 * truth.sum()  # pixels that an edge crosses
    both = labelled(root, masks=True).open("train")[0]["mask"]
    x, y, width, height = map(int, BOX)
    assert (both[y : y + height, x : x + width] == 255).all()  # the cat has a box and no outline


def test_they_come_out_of_cocos_format_as_they_went_in(left: tuple[str, Path]):
    _, root = left
    written = convert(root, root.parent / "coco")
    assert written[:2] == (COUNT, 2 * COUNT)
    before, after = (labelled(folder, masks=True) for folder in (root, root.parent / "coco"))
    assert after.class_names == before.class_names
    for split in SPLITS:
        one, other = checked(before.open(split)), checked(after.open(split))
        assert [one.name_of(i) for i in range(len(one))] == [other.name_of(i) for i in range(len(other))]
        for index in range(len(one)):
            np.testing.assert_array_equal(one[index]["mask"], other[index]["mask"])
            np.testing.assert_array_equal(one[index]["image"], other[index]["image"])
        coco = COCO(root.parent / "coco" / f"{split}.json")
        for annotation in coco.anns.values():
            inside = coco.annToMask(annotation).sum() if "segmentation" in annotation else prod(annotation["bbox"][2:])
            assert annotation["area"] == inside
    with pytest.raises(DataError, match=r"train\.json is there already: name another folder"):
        convert(root, root.parent / "coco")


def test_a_check_names_the_tool(left: tuple[str, Path]):
    tool, root = left
    report = check(root)
    assert (report.tool, report.errors) == (tool, [])
    assert {len(report.train) + len(report.val) + len(report.test)} == {COUNT}


def test_an_image_that_is_gone_is_named(left: tuple[str, Path]):
    tool, root = left
    next(root.rglob("3.png")).unlink()
    if tool == "YOLO":  # its images are what is listed
        assert len(labelled(root).open("train")) + len(labelled(root).open("val")) == COUNT - 3
    else:
        with pytest.raises(DataError, match=r"3\.png.* copy it there"):
            labelled(root)


@pytest.mark.parametrize(
    ("tool", "labels", "labelled_empty", "sentence"),
    [
        ("Label Studio", ("annotations",), [{"result": None}], "task 9 has no annotation that was not cancelled"),
        ("Labelbox", ("projects", "cl9", "labels"), [{"annotations": {"objects": []}}], "row 3 has no label"),
    ],
)
def test_an_image_that_nobody_has_labelled_is_none_without_objects(
    tmp_path: Path, tool: str, labels: tuple[str, ...], labelled_empty: list[dict], sentence: str
):
    TOOLS[tool](tmp_path)
    (file,) = tmp_path.glob("*json")
    lines = file.suffix == ".ndjson"
    rows = [*map(json.loads, file.read_text().splitlines())] if lines else json.loads(file.read_text())
    skipped = [] if lines else [{"was_cancelled": True, "result": []}]
    for row, these in zip(rows, ([], labelled_empty, skipped), strict=False):
        reduce(getitem, labels[:-1], row)[labels[-1]] = these
    file.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    found = find_boxes(tmp_path)
    assert found is not None
    said = [problem.sentence for problem in found.read[0].problems if problem.kind == "not labelled"]
    assert len(said) == 2
    assert f"{sentence}: its image is left out." in said[1]
    objects = {one.path.name: len(one.boxes) for one in (*found.train, *found.val, *found.test)}
    assert objects == {"1.png": 0} | {f"{n}.png": 2 for n in range(3, COUNT)}


def test_a_file_that_is_cut_short_is_named(left: tuple[str, Path]):
    tool, root = left
    path = (
        root / "data.yaml"
        if tool == "YOLO"
        else next(file for file in sorted(root.rglob("*json")) if file.name != "meta.json")
    )
    path.write_text(path.read_text()[:-9] + ": [")
    with pytest.raises(DataError, match=rf"{path.name} is no (JSON|YAML), or cut short"):
        labelled(root)


def test_hidden_files_are_passed_over(left: tuple[str, Path]):
    """Those that macOS lays beside each file on other disks, and the copies of an editor."""
    before = labelled(left[1]).open("train")
    for path in [path for path in left[1].rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
        copies = path.parent / ".copies"
        copies.mkdir(exist_ok=True)
        (copies / path.name).write_bytes(path.read_bytes())
    after = labelled(left[1]).open("train")
    assert len(before) == len(after)
    for index in range(len(before)):
        assert np.array_equal(before[index]["boxes"], after[index]["boxes"])


def test_a_line_of_labelbox_ends_where_json_says_so(tmp_path: Path):
    """Browsers write U+2028 into strings as it is, which Python takes for the end of a line."""
    TOOLS["Labelbox"](tmp_path)
    (path,) = tmp_path.rglob("*.ndjson")
    before = labelled(tmp_path).open("train")[0]
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    text = "\n".join(json.dumps(row | {"note": "one\u2028two\x85"}, ensure_ascii=False) for row in rows)
    path.write_text(text, "utf-8")
    assert np.array_equal(labelled(tmp_path).open("train")[0]["boxes"], before["boxes"])


def test_folders_called_train_and_test_are_the_splits(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    for split, numbers in (("train", range(4)), ("test", range(4, 6))):
        for n in numbers:
            image(tmp_path / split / f"{n}.png", n)
            shape = {"label": "dog", "points": corners(n), "shape_type": "polygon"}
            text(tmp_path / split / f"{n}.json", {"shapes": [shape], "imagePath": f"{n}.png"})
    data = labelled(tmp_path)
    say_once.cache_clear()
    assert [len(data.open(split)) for split in SPLITS] == [3, 1, 2]
    assert capfd.readouterr().err.count("does not say which images validate: 1 of the 4 for training do") == 1


def test_classes_are_kept_joined_and_renamed(left: tuple[str, Path]):
    _, root = left
    joined = labelled(root, class_names=("animal=cat+dog",))
    assert joined.class_names == ("animal",)
    assert joined.open("train")[0]["labels"].tolist() == [0, 0]
    one = labelled(root, class_names=("feline=cat",))
    assert one.class_names == ("feline",)
    np.testing.assert_allclose(one.open("train")[0]["boxes"], [BOX], atol=1e-4)


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (("cow",), "has no class 'cow': name"),
        (("cat", "pet=cat+dog"), "'cat' of .* is kept twice"),
        (("a=cat", "a=dog"), "are kept under one name"),
        (("=cat",), "'=cat' does not say which classes are kept as what"),
        (("cat=",), "'cat=' does not say"),
    ],
)
def test_classes_that_cannot_be_kept_are_named(tmp_path: Path, kept: tuple[str, ...], sentence: str):
    TOOLS["labelme"](tmp_path)
    with pytest.raises(DataError, match=sentence):
        labelled(tmp_path, class_names=kept)


def test_other_data_of_the_same_classes_is_numbered_alike(tmp_path: Path):
    """Supervisely lists dog first, labelme cat."""
    for tool in ("labelme", "Supervisely"):
        TOOLS[tool](tmp_path / tool)
    known = labelled_defaults(tmp_path / "Supervisely")
    data = labelled(tmp_path / "labelme", known)
    assert data.class_names == known.class_names == ("dog", "cat")
    record = data.open("train")[0]
    np.testing.assert_allclose(record["boxes"][record["labels"] == 1], [BOX], atol=1e-4)
    for file in (tmp_path / "labelme").glob("*.json"):
        file.write_text(file.read_text().replace('"cat"', '"cow"'))
    with pytest.raises(DataError, match="has the class cow, and this data set has dog, cat"):
        data.open("train")


def test_what_is_no_tools_is_refused(tmp_path: Path, make_folder: Callable[..., Path]):
    with pytest.raises(DataError, match="has nothing that is understood of labelme, VIA"):
        labelled(make_folder("abc"))


def test_masks_become_objects_of_connected_pixels(make_folder: Callable[..., Path], tmp_path: Path):
    root = make_folder("abcdefgh")
    (root / "classes.txt").write_text("background\ncat\ndog\n")
    written = convert(root, tmp_path / "coco")
    assert written.images == 8
    before, after = folder(root), labelled(tmp_path / "coco", masks=True)
    for split in SPLITS:
        for index in range(len(before.open(split))):
            np.testing.assert_array_equal(before.open(split)[index]["mask"], after.open(split)[index]["mask"])
        coco = COCO(tmp_path / "coco" / f"{split}.json")
        assert all(one["area"] == coco.annToMask(one).sum() for one in coco.anns.values())


def test_annotations_are_read_once(left: tuple[str, Path], monkeypatch: pytest.MonkeyPatch):
    _, root = left
    module = sys.modules["segjax.data.sets.labelled"]
    reads, read = [], module.find_boxes
    monkeypatch.setattr(module, "find_boxes", lambda root: reads.append(root) or read(root))
    data = labelled(root, labelled_defaults(root))
    assert [len(data.open(split)) > 0 for split in SPLITS] == [True] * 3
    assert len(reads) == 1
    next(root.rglob("3.png")).touch()
    data.open("train")
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("names: [dog, cat]\nnames: {0: cat, 1: dog}", r"data\.yaml.* says `names` twice"),
        ("names: {0: dog, 1: cat, 1: bird}", "says `1` twice"),
        ("names: [dog, dog]", "lists the class 'dog' twice"),
        ("nc: 3\nnames: [dog, cat]", r"says 3 classes \(`nc`\) and names 2"),
    ],
)
def test_classes_that_yolo_names_twice_are_refused(tmp_path: Path, names: str, sentence: str):
    TOOLS["YOLO"](tmp_path)
    text(tmp_path / "data.yaml", names)
    with pytest.raises(DataError, match=sentence):
        labelled(tmp_path)


@pytest.mark.parametrize(("name", "said"), [("classes.txt", ""), ("list.txt", "names: [dog, cat]\ntrain: list.txt")])
def test_lists_of_yolo_in_other_letters_than_those_of_utf_8_are_refused(tmp_path: Path, name: str, said: str):
    TOOLS["YOLO"](tmp_path)
    text(tmp_path / "data.yaml", said)
    (tmp_path / name).write_bytes("chien\nchâton\n".encode("latin-1"))
    with pytest.raises(DataError, match=rf"{name} is no list of lines in UTF-8"):
        labelled(tmp_path)


LISTS: list[tuple[str, str, tuple[Any, ...]]] = [
    ("Labelbox", "export.ndjson", ("projects", "cl9")),
    ("Labelbox", "export.ndjson", ("projects", "cl9", "labels")),
    ("Labelbox", "export.ndjson", ("projects", "cl9", "labels", 0, "annotations")),
    ("Labelbox", "export.ndjson", ("projects", "cl9", "labels", 0, "annotations", "objects")),
    ("Supervisely", "meta.json", ("classes",)),
    ("Supervisely", "ds0/ann/0.png.json", ("objects", 0, "points", "interior")),
    ("Label Studio", "project-1-at-2024-01-01.json", (0, "annotations", 1, "result")),
]


@pytest.mark.parametrize(("tool", "name", "keys"), LISTS)
def test_what_is_no_list_where_a_tool_lists_is_an_error(tmp_path: Path, tool: str, name: str, keys: tuple[Any, ...]):
    TOOLS[tool](tmp_path)
    first, *more = (tmp_path / name).read_text().splitlines()
    said = json.loads(first)
    reduce(getitem, keys[:-1], said)[keys[-1]] = True
    (tmp_path / name).write_text("\n".join([json.dumps(said), *more]))
    with pytest.raises(DataError, match=r"has 'True' where a list `\w+` is expected: export it again"):
        labelled(tmp_path)


def test_a_class_called_no_is_not_false(tmp_path: Path):
    TOOLS["YOLO"](tmp_path)
    text(tmp_path / "data.yaml", "names: [yes, no]\ntest:")
    assert labelled(tmp_path).class_names == ("yes", "no")
    with pytest.raises(DataError, match="two classes called 'background'"):
        labelled(tmp_path, class_names=("background=no",), masks=True)


def test_images_keep_their_depth_and_bands(left: tuple[str, Path]):
    _, root = left
    for path in root.rglob("*.png"):
        pixels = np.random.default_rng(number_of(path.name)).integers(0, 60000, (*SIZE, 4)).astype(np.uint16)
        pixels[:2] = 0
        path.unlink()
        tiff = path.with_suffix(".tif")
        tifffile.imwrite(tiff, pixels, photometric="minisblack", planarconfig="contig")
        tiff.rename(path)  # what is inside decides, whatever the tool calls it
    known = LabelledDefaults.from_json(json.loads(json.dumps(dataclasses.asdict(labelled_defaults(root)))))
    data = labelled(root, known, masks=True)
    assert (known.bands.depth, known.bands.count, len(known.images.mean)) == ("uint16", 4, 4)
    assert known.images.mean == pytest.approx((0.458 * 46 / 48,) * 4, rel=0.02)  # two rows are 0
    image = data.open("train")[0]["image"]
    assert (image.dtype, image.shape) == (np.uint16, (*SIZE, 4))
    assert data.images == known.bands
    assert data.shown(image).dtype == np.uint8
    text(root / "bands.txt", "blue\ngreen\nred\ninfrared")
    some = labelled_defaults(root, ("infrared", "red"))
    assert (some.bands.chosen, some.bands.names) == ((4, 3), ("infrared", "red"))
    np.testing.assert_array_equal(labelled(root, some).open("train")[0]["image"], image[..., [3, 2]])


def test_masks_of_labelbox_are_files_and_are_not_fetched(tmp_path: Path):
    TOOLS["Labelbox"](tmp_path)
    file = tmp_path / "export.ndjson"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    inside = np.zeros(SIZE, np.uint8)
    inside[5:9, 20:30] = 255
    Image.fromarray(inside).save(tmp_path / "images" / "mask-1.png")
    Image.fromarray(np.where(inside[..., None], (9, 8, 7), (1, 1, 1)).astype(np.uint8)).save(tmp_path / "all.png")
    one = {"name": "dog", "annotation_kind": "ImageSegmentationMask", "mask": {"url": "https://there/mask-1.png?key=2"}}
    two = {"name": "cat", "composite_mask": {"url": "https://there/all.png", "color_rgb": [9, 8, 7]}}
    for row, found in zip(rows, (one, two), strict=False):
        row["projects"]["cl9"]["labels"][0]["annotations"]["objects"] = [found]
    file.write_text("\n".join(map(json.dumps, rows)))
    data = labelled(tmp_path)
    sources = [checked(data.open(split)) for split in SPLITS]
    boxes = {source.name_of(i): source[i]["boxes"] for source in sources for i in range(len(source))}
    assert boxes["0.png"].tolist() == boxes["1.png"].tolist() == [[20, 5, 10, 4]]
    Image.open(tmp_path / "all.png").quantize(2).save(tmp_path / "all.png")
    data = labelled(tmp_path)
    sources = [checked(data.open(split)) for split in SPLITS]
    again = {source.name_of(i): source[i]["boxes"] for source in sources for i in range(len(source))}
    assert again["1.png"].tolist() == [[20, 5, 10, 4]]
    Image.new("RGB", (SIZE[1], SIZE[0]), (1, 1, 1)).save(tmp_path / "all.png")
    with pytest.raises(DataError, match=r"row 2 object 0 has no pixel of its colour \[9, 8, 7\] in .*all\.png"):
        labelled(tmp_path)
    Image.fromarray(np.where(inside[..., None], (9, 8, 7), (1, 1, 1)).astype(np.uint8)).save(tmp_path / "all.png")
    (tmp_path / "images" / "mask-1.png").unlink()
    with pytest.raises(DataError, match=r"row 1 object 0 has its mask at https://there/mask-1\.png.* is not fetched"):
        labelled(tmp_path)
