"""Shapes that one tool alone has, and files that are wrong."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tool_folders import BOX, COUNT, SIZE, TOOLS, corners, image, packed_png, text

from segjax.cli import main
from segjax.data import check, labelled
from segjax.data.formats.box_layouts import find_boxes
from segjax.errors import DataError

RING = np.zeros((9, 11), bool)
RING[1:8, 2:10] = True
RING[3:5, 4:7] = False
Y, X = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5


def masks(root: Path) -> list[np.ndarray]:
    source = labelled(root, masks=True).open("train")
    return [source[index]["mask"] for index in range(len(source))]


def labelme(root: Path, *shapes: dict[str, Any]) -> None:
    for n in range(3):
        image(root / f"{n}.png", n)
        text(root / f"{n}.json", {"shapes": shapes, "imagePath": f"{n}.png", "imageHeight": 48, "imageWidth": 72})


def supervisely(root: Path, *objects: dict[str, Any]) -> None:
    for n in range(3):
        image(root / "img" / f"{n}.png", n)
        text(root / "ann" / f"{n}.png.json", {"size": {"height": 48, "width": 72}, "objects": objects})


def yolo(root: Path, *lines: str, names: str = "names: [dog, cat]") -> None:
    text(root / "data.yaml", names)
    for n in range(3):
        image(root / "images" / f"{n}.png", n)
        text(root / "labels" / f"{n}.txt", "\n".join(lines))


def test_circles_and_ellipses_are_round(tmp_path: Path):
    labelme(tmp_path / "a", {"label": "dot", "points": [[30, 20], [30, 31]], "shape_type": "circle"})
    shape = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 16, "ry": 7, "theta": 0.5}
    regions = [{"shape_attributes": shape, "region_attributes": {"name": "dot"}}]
    text(tmp_path / "b" / "via.json", {f"{n}": {"filename": f"{n}.png", "regions": regions} for n in range(3)})
    for n in range(3):
        image(tmp_path / "b" / f"{n}.png", n)
    right, down = X - 30, Y - 20
    circle = right**2 + down**2 <= 11**2
    along, across = right * np.cos(0.5) + down * np.sin(0.5), down * np.cos(0.5) - right * np.sin(0.5)
    ellipse = (along / 16) ** 2 + (across / 7) ** 2 <= 1
    for root, truth in ((tmp_path / "a", circle), (tmp_path / "b", ellipse)):
        for mask in masks(root):
            assert ((mask == 1) ^ truth).sum() <= 0.05 * truth.sum()


def test_a_turned_rectangle_of_label_studio_turns_about_its_corner(tmp_path: Path):
    value = {"x": 50, "y": 25, "width": 25, "height": 12.5, "rotation": 30, "rectanglelabels": ["dog"]}
    result = {"original_width": 72, "original_height": 48, "value": value}
    tasks = [{"data": {"image": f"s3://b/{n}.png"}, "annotations": [{"result": [result]}]} for n in range(3)]
    text(tmp_path / "export.json", tasks)
    for n in range(3):
        image(tmp_path / f"{n}.png", n)
    right, down = X - 36, Y - 12
    along, across = right * np.cos(np.pi / 6) + down * np.sin(np.pi / 6), down * np.cos(np.pi / 6) - right * 0.5
    truth = (along >= 0) & (along <= 18) & (across >= 0) & (across <= 6)
    for mask in masks(tmp_path):
        assert ((mask == 1) ^ truth).sum() <= 0.1 * truth.sum()


def test_a_brush_of_label_studio_is_unpacked(tmp_path: Path):
    """Bytes that Label Studio's own converter made of this array."""
    painted = np.zeros((6, 9), bool)
    painted[2:4, 2:5] = True
    packed = [0, 0, 0, 216, 57, 27, 254, 79, 0, 183, 255, 133, 192, 45, 255, 229, 112, 0]
    value = {"format": "rle", "rle": packed, "brushlabels": ["dog"]}
    for n in range(3):
        Image.fromarray(np.full((6, 9, 3), n, np.uint8)).save(tmp_path / f"{n}.png")

    def export(value: dict[str, Any]) -> None:
        result = {"original_width": 9, "original_height": 6, "value": value}
        said = {"image": "/data/local-files/?d=set/{n}.png"}
        tasks = [
            {"data": {"image": said["image"].format(n=n)}, "annotations": [{"result": [result]}]} for n in range(3)
        ]
        text(tmp_path / "export.json", tasks)

    export(value)
    for mask in masks(tmp_path):
        np.testing.assert_array_equal(mask == 1, painted)
    for wrong in (packed[:-2], [256, *packed[1:]], [0, 0, 1, *packed[3:]]):
        export(value | {"rle": wrong})
        with pytest.raises(DataError, match="has run lengths that are not those of 9x6 pixels: export it again"):
            masks(tmp_path)


def test_what_is_painted_keeps_its_hole_and_is_cut_at_the_border(tmp_path: Path):
    png = io.BytesIO()
    Image.fromarray(RING).save(png, "PNG")
    shape = {"label": "ring", "points": [[65, 43], [75, 51]], "mask": base64.b64encode(png.getvalue()).decode()}
    labelme(tmp_path / "a", shape | {"shape_type": "mask"})
    bitmap = {"data": packed_png(RING), "origin": [65, 43]}
    supervisely(tmp_path / "b", {"classTitle": "ring", "geometryType": "bitmap", "bitmap": bitmap})
    truth = np.zeros(SIZE, bool)
    truth[43:, 65:] = RING[:5, :7]
    for root in (tmp_path / "a", tmp_path / "b"):
        for mask in masks(root):
            np.testing.assert_array_equal(mask == 1, truth)


def test_holes_of_a_polygon_are_left_out(tmp_path: Path):
    points = {
        "exterior": [[10, 10], [40, 10], [40, 40], [10, 40]],
        "interior": [[[20, 20], [30, 20], [30, 30], [20, 30]]],
    }
    supervisely(tmp_path, {"classTitle": "ring", "geometryType": "polygon", "points": points})
    for mask in masks(tmp_path):
        assert (mask[12:18, 12:38] == 1).all()
        assert (mask[22:28, 22:28] == 0).all()


def test_a_corner_that_is_beyond_all_pixels_is_far_away(tmp_path: Path):
    labelme(tmp_path, {"label": "dog", "shape_type": "polygon", "points": [[10, 10], [2**70, 10], [10, 2**70]]})
    for mask in masks(tmp_path):
        assert (mask[11:, 11:] == 1).all()


def test_a_size_of_no_image_is_named(tmp_path: Path):
    TOOLS["Label Studio"](tmp_path)
    path = next(tmp_path.rglob("*.json"))
    path.write_text(path.read_text().replace('"original_width": 72', f'"original_width": {10**400}'))
    with pytest.raises(DataError, match="result 0 has no `original_height` and `original_width`: export it again"):
        labelled(tmp_path)


def test_a_check_draws_what_is_within_its_image(tmp_path: Path):
    TOOLS["VIA"](tmp_path / "set")
    path = tmp_path / "set" / "via_project.json"
    path.write_text(re.sub(r'"width": \d+', f'"width": {2**70}', path.read_text()))
    check(tmp_path / "set", picture=tmp_path / "examples.png")
    with Image.open(tmp_path / "examples.png") as drawn:
        assert drawn.width < 5000


def test_lines_of_yolo_may_go_on_with_the_points_of_a_pose(tmp_path: Path):
    x, y, width, height = BOX
    box = f"{(x + width / 2) / 72} {(y + height / 2) / 48} {width / 72} {height / 48}"
    yolo(tmp_path, f"1 {box} 0.5 0.5 2 0.25 0.5 1", names="names: [dog, cat]\nkpt_shape: [2, 3]")
    record = labelled(tmp_path).open("train")[0]
    np.testing.assert_allclose(record["boxes"], [BOX], atol=1e-3)


def test_an_image_without_a_file_of_yolo_has_no_objects(tmp_path: Path):
    TOOLS["YOLO"](tmp_path)
    for path in (tmp_path / "labels" / "train").glob("[0-3].txt"):
        path.unlink()
    found = find_boxes(tmp_path)
    assert found is not None
    assert sum(not len(one.boxes) for one in (*found.train, *found.val, *found.test)) == 4


def test_a_split_of_yolo_without_labels_is_not_used(tmp_path: Path):
    TOOLS["YOLO"](tmp_path)
    for n in range(3):
        image(tmp_path / "images" / "test" / f"{n}.png", 2 * COUNT + n)
    text(tmp_path / "data.yaml", "train: images/train\nval: images/val\ntest: images/test\nnames: [dog, cat]")
    found = find_boxes(tmp_path)
    assert found is not None
    assert {one.path.parent.name for one in found.test} == {"val"}
    assert ["has no .txt of any image for test" in one.sentence for one in found.read[0].problems] == [True]


def test_lists_of_yolo_name_the_images(tmp_path: Path):
    TOOLS["YOLO"](tmp_path)
    text(tmp_path / "data.yaml", "train: train.txt\nval: [images/val]\nnames: [dog, cat]")
    text(tmp_path / "train.txt", "./images/train/0.png\n./images/train/3.png\n")
    data = labelled(tmp_path)
    assert [len(data.open(split)) for split in ("train", "val", "test")] == [1, 1, 2]
    text(tmp_path / "train.txt", f"./images/train/0.png\n{'A' * 300}.png\n")
    with pytest.raises(DataError, match=r"has no image .*AAA\.png: copy it there"):
        labelled(tmp_path)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2 0.5 0.5 0.1 0.1", "line 1 has the class 2: classes are numbered 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "has the class 0.5: classes are numbered"),
        ("dog 0.5 0.5 0.1 0.1", "has 'dog 0.5 0.5 0.1 0.1': write a class and numbers"),
        ("0 0.5 0.5 0.1 0.1 0.97", "has six numbers, as predictions do whose last one is a score"),
        ("0 0.5 0.5 0.1", "has 4 numbers: a box has a class and 4"),
        ("0 36 24 7 5", "has numbers outside 0 to 1: they are shares of the image's width and height"),
        ("0 nan 0.5 0.1 0.1", "has numbers outside 0 to 1"),
    ],
)
def test_lines_of_yolo_that_are_wrong_are_named(tmp_path: Path, line: str, sentence: str):
    yolo(tmp_path, line)
    with pytest.raises(DataError, match=sentence):
        labelled(tmp_path)


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"points": [[1, 1], [9, 9], [5, 8]]}, "shape 0 has no `label`, or no `points` of numbers"),
        ({"label": "a", "points": [[1, "x"], [9, 9], [5, 8]]}, "has no `label`, or no `points` of numbers"),
        ({"label": "a", "points": [[0, 0]], "shape_type": "mask", "mask": "bm8="}, "has a mask that cannot be read"),
        ({"label": "a", "points": [[80, 60], [90, 60], [90, 70]]}, "all of it outside the image of 72x48"),
    ],
)
def test_shapes_of_labelme_that_are_wrong_are_named(tmp_path: Path, shape: dict[str, Any], sentence: str):
    labelme(tmp_path, shape)
    with pytest.raises(DataError, match=sentence):
        labelled(tmp_path)


def test_a_region_of_via_with_several_attributes_needs_one_for_its_class(tmp_path: Path):
    TOOLS["VIA"](tmp_path)
    path = tmp_path / "via_project.json"
    path.write_text(path.read_text().replace('"type"', '"colour"'))
    with pytest.raises(DataError, match=r"'0\.png' region 0 has no one attribute for its class \(class, label, type"):
        labelled(tmp_path)


def test_bitmaps_that_are_no_pictures_are_named(tmp_path: Path):
    for data in ("no base64!", base64.b64encode(b"no zlib").decode()):
        one = {"classTitle": "a", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [0, 0]}}
        supervisely(tmp_path, one)
        with pytest.raises(DataError, match=r"0\.png\.json object 0 has a bitmap that cannot be read"):
            labelled(tmp_path)


def test_numbers_of_classes_stay_where_no_list_names_them(tmp_path: Path):
    yolo(tmp_path, "3 0.5 0.5 0.1 0.1", names="a: b")
    assert labelled(tmp_path).class_names == ("0", "1", "2", "3")
    text(tmp_path / "classes.txt", "a\nb\nc\nd\n")
    assert labelled(tmp_path).class_names == ("a", "b", "c", "d")


def test_json_with_the_labels_alone_is_read(tmp_path: Path):
    """JSON-MIN of Label Studio."""
    one = {
        "x": 25,
        "y": 25,
        "width": 50,
        "height": 50,
        "rectanglelabels": ["dog"],
        "original_width": 72,
        "original_height": 48,
    }
    tasks = [{"id": n, "image": f"/data/upload/1/0a1b2c3d-{n}.png", "label": [one], "lead_time": 3.2} for n in range(3)]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    for n in range(3):
        image(tmp_path / f"{n}.png", n)
    np.testing.assert_allclose(labelled(tmp_path).open("train")[0]["boxes"], [[18, 12, 36, 24]])


def test_files_of_labelme_agree_on_nothing_but_their_own_image(tmp_path: Path):
    """Two images of one name in two folders."""
    for folder in ("a", "b"):
        for n in range(2):
            image(tmp_path / folder / f"{n}.png", n + COUNT * (folder == "b"))
            shape = {"label": folder, "points": corners(n)}
            text(tmp_path / folder / f"{n}.json", {"shapes": [shape], "imagePath": f"{n}.png"})
    found = find_boxes(tmp_path)
    assert found is not None
    for one in (*found.train, *found.val, *found.test):
        assert found.read[0].class_names[one.labels[0]] == one.path.parent.name


def test_images_of_one_name_belong_to_the_annotations_that_are_nearest(tmp_path: Path):
    """Files of labelme in folders beside those of their images, and a file of VIA above its images."""
    for split in ("train", "val"):
        for n in range(2):
            for place in (f"labelme/{split}/images", f"via/{split}/below"):
                image(tmp_path / place / f"{n}.png", n + COUNT * (split == "val"))
            said = {"shapes": [{"label": split, "points": corners(n)}], "imagePath": f"..\\images\\{n}.png"}
            text(tmp_path / "labelme" / split / "labels" / f"{n}.json", said)
        text(tmp_path / "via" / split / "via.json", {f"{n}": via_entry(n, split) for n in range(2)})
    for tool in ("labelme", "via"):
        found = find_boxes(tmp_path / tool)
        assert found is not None
        pictures = (*found.train, *found.val, *found.test)
        assert len({one.path for one in pictures}) == 4
        for one in pictures:
            assert found.read[0].class_names[one.labels[0]] in one.path.parts


def via_entry(number: int, label: str) -> dict[str, Any]:
    points = {"all_points_x": [x for x, _ in corners(number)], "all_points_y": [y for _, y in corners(number)]}
    region = {"shape_attributes": {"name": "polygon", **points}, "region_attributes": {"name": label}}
    return {"filename": f"{number}.png", "regions": [region]}


def test_images_of_one_name_that_are_as_near_are_named(tmp_path: Path):
    for folder in ("x", "y"):
        for n in range(2):
            image(tmp_path / folder / f"{n}.png", n + COUNT * (folder == "y"))
    text(tmp_path / "via.json", {f"{n}": via_entry(n, "dog") for n in range(2)})
    with pytest.raises(DataError, match=r"has '0\.png' as .*/x/0\.png and as .*/y/0\.png, and nothing says which"):
        labelled(tmp_path)


def test_an_image_that_is_labelled_twice_is_named(tmp_path: Path):
    labelme(tmp_path, {"label": "dog", "points": corners(0)})
    text(tmp_path / "0 (1).json", {"shapes": [{"label": "cat", "points": corners(0)}], "imagePath": "0.png"})
    with pytest.raises(DataError, match=r"has .*/0\.png labelled twice: put its objects together"):
        labelled(tmp_path)


def test_an_image_of_two_splits_is_named(tmp_path: Path):
    TOOLS["YOLO"](tmp_path)
    text(tmp_path / "data.yaml", "train: [images/train, images/train]\nval: images/train\nnames: [dog, cat]")
    with pytest.raises(DataError, match=r"images for training and for testing, such as .*/images/train/0\.png: take"):
        labelled(tmp_path)


def test_folders_of_yolo_are_those_of_its_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As Roboflow writes them, from the folder of other data, and below a `path` as Ultralytics has it."""
    for root in ("mine", "other"):
        TOOLS["YOLO"](tmp_path / root)
        text(tmp_path / root / "data.yaml", "train: ../images/train\nval: ../images/val\nnames: [dog, cat]")
    monkeypatch.chdir(tmp_path / "other" / "images")
    found = find_boxes(tmp_path / "mine")
    assert found is not None
    assert all(tmp_path / "mine" in one.path.parents for one in (*found.train, *found.val, *found.test))
    text(tmp_path / "data.yaml", "path: ./mine\ntrain: images/train\nval: images/val\nnames: [dog, cat]")
    below = find_boxes(tmp_path)
    assert below is not None
    assert [one.path for one in below.test] == [one.path for one in found.test]


def test_a_turned_tiff_is_as_large_as_it_is_read(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    yolo(tmp_path, "0 0.25 0.5 0.5 1")
    for n in range(3):
        (tmp_path / "images" / f"{n}.png").unlink()
        Image.fromarray(pixels).save(tmp_path / "images" / f"{n}.tif", tiffinfo={274: 6})
    record = labelled(tmp_path).open("train")[0]
    assert record["image"].shape[:2] == SIZE[::-1]
    np.testing.assert_allclose(record["boxes"], [[0, 0, SIZE[0] / 2, SIZE[1]]])


def test_a_task_of_label_studio_whose_result_is_null_has_no_objects(tmp_path: Path):
    TOOLS["Label Studio"](tmp_path)
    path = next(tmp_path.rglob("*.json"))
    tasks = json.loads(path.read_text())
    for annotation in tasks[0]["annotations"]:
        annotation["result"] = None
    text(path, tasks)
    found = find_boxes(tmp_path)
    assert found is not None
    counts = [len(picture.boxes) for part in found.read for picture in part.pictures]
    assert (len(counts), counts.count(0)) == (COUNT, 1)


def test_what_was_drawn_on_a_turned_image_is_warned_of(tmp_path: Path):
    TOOLS["Label Studio"](tmp_path)
    path = next(tmp_path.rglob("*.json"))
    tasks = json.loads(path.read_text())
    tasks[0]["annotations"][-1]["result"][0]["image_rotation"] = 90
    text(path, tasks)
    found = find_boxes(tmp_path)
    assert found is not None
    (problem,) = [problem for part in found.read for problem in part.problems]
    assert "result 0 was drawn on the image turned by 90 degrees" in problem.sentence


def test_files_of_yolo_may_begin_with_a_byte_order_mark(tmp_path: Path):
    TOOLS["YOLO"](tmp_path)
    before = labelled(tmp_path).open("train")[0]
    for path in [*tmp_path.rglob("*.txt"), *tmp_path.glob("*.yaml")]:
        path.write_text(path.read_text("utf-8"), "utf-8-sig")
    after = labelled(tmp_path).open("train")[0]
    assert np.array_equal(before["boxes"], after["boxes"])


def test_files_of_two_tools_are_named(tmp_path: Path):
    TOOLS["VIA"](tmp_path)
    image(tmp_path / "own.png", 0)
    text(tmp_path / "own.json", {"shapes": [], "imagePath": "own.png", "imageHeight": 48, "imageWidth": 72})
    with pytest.raises(DataError, match="has files of labelme and of VIA: put those of one of them elsewhere"):
        labelled(tmp_path)


def test_files_beside_images_that_say_nothing_are_named(tmp_path: Path):
    labelme(tmp_path, {"label": "dog", "points": corners(0), "shape_type": "polygon"})
    for content, sentence in (
        ([1, 2], r"2\.json is beside an image, and has no `shapes` and `imagePath`"),
        ({"shapes": {"a": 1}, "imagePath": "2.png"}, r"2\.json has no list of `shapes`"),
        ({"shapes": None, "imagePath": "2.png"}, r"2\.json has no list of `shapes`"),
    ):
        text(tmp_path / "2.json", content)
        with pytest.raises(DataError, match=sentence):
            labelled(tmp_path)


def test_what_a_conversion_leaves_out_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    dog = {"label": "dog", "points": corners(0), "shape_type": "polygon"}
    labelme(tmp_path / "set", dog, {"label": "way", "points": corners(0), "shape_type": "linestrip"})
    assert main(["data", "convert", str(tmp_path / "set"), str(tmp_path / "coco")]) == 0
    assert "shape 1 is a linestrip of 4 points, which has no area: it is left out" in capsys.readouterr().err
