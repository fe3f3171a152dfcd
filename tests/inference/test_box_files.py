"""Objects of image files, found by models that read them off the pixels."""

import json
import os
from pathlib import Path
from typing import Any

import flax.linen as nn
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from read_off import EXPECTED, OBJECTS, Bright, Marked, bright, marked
from tiff_files import tiff_file

from segjax import data
from segjax.inference import InferenceError, Summary, files, predict_box_files, predict_boxes

NAMES, EMOTIONS = ("face", "mask"), ("glad", "sad")
PALETTE = ((230, 159, 0), (86, 180, 233))


def saved(path: Path, pixels: np.ndarray, mode: str | None = None, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **settings)
    return path


def predicted(model: nn.Module, paths: list[Path], out: Path, **settings: Any) -> Summary:
    return predict_box_files(model, {}, paths, out, class_names=NAMES, palette=PALETTE, **settings)


def found_in(out: Path) -> tuple[COCO, dict[str, list[Any]]]:
    """The annotations as COCO's own tools read them, by the picture's name."""
    coco = COCO(out / "boxes.json")
    pictures = coco.loadImgs(coco.getImgIds())
    return coco, {one["file_name"]: coco.loadAnns(coco.getAnnIds(one["id"])) for one in pictures}


def test_the_annotations_are_what_the_model_found_and_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    images = {"a.png": marked(31, 47, *OBJECTS), "deep/b.png": marked(9, 70, (60, 4, 250, 8, 6)), "c.png": marked(8, 8)}
    for name, pixels in images.items():
        saved(tmp_path / "in" / name, pixels)
    summary = predicted(Marked(), [tmp_path / "in"], tmp_path / "out", attribute_names=EMOTIONS)
    drawn = ["a_boxes.png", "c_boxes.png", "deep/b_boxes.png"]
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in summary.done) == drawn
    coco, by_name = found_in(tmp_path / "out")
    assert by_name.keys() == images.keys()
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == list(NAMES)
    for name, pixels in images.items():
        found = predict_boxes(Marked(), {}, pixels, least=0.3)
        assert found.attributes is not None
        written = by_name[name]
        assert len(written) == len(found.boxes) == {"a.png": 4, "deep/b.png": 1, "c.png": 0}[name]
        for i, one in enumerate(written):
            np.testing.assert_allclose(one["bbox"], found.boxes[i], atol=0.0051)
            np.testing.assert_allclose(one["area"], found.boxes[i, 2:].prod(), atol=0.0051)
            assert one["category_id"] == found.labels[i] + 1
            assert one["score"] == pytest.approx(found.scores[i], abs=1e-5)
            np.testing.assert_allclose([one["attributes"][name] for name in EMOTIONS], found.attributes[i], atol=1e-5)

    file = tmp_path / "out" / "boxes.json"
    source = data.coco(tmp_path / "in", file, file, attribute_names=EMOTIONS).open("test")
    records = {len(source[i]["boxes"]): source[i] for i in range(3)}
    np.testing.assert_allclose(records[4]["boxes"][0], EXPECTED[0][0], atol=0.0051)
    np.testing.assert_array_equal(records[4]["image"], images["a.png"])
    np.testing.assert_array_equal(records[4]["labels"], [0, 1, 0, 0])
    assert "3/3" in capsys.readouterr().err


def test_where_nothing_is_found_the_picture_is_as_it_was(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 110, (700, 650, 3)).astype(np.uint8)
    predicted(Marked(), [saved(tmp_path / "a.png", pixels)], tmp_path / "out")
    assert found_in(tmp_path / "out")[1] == {"a.png": []}
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out" / "a_boxes.png")), pixels)


def test_pictures_of_any_mode_are_seen_as_rgb(tmp_path: Path):
    box = (9, 5, 17, 8)
    pixels = bright(24, 40, box)
    saved(tmp_path / "in" / "grey.png", pixels, "L")
    saved(tmp_path / "in" / "alpha.png", pixels, "RGBA")
    saved(tmp_path / "in" / "palette.png", pixels, "P")
    saved(tmp_path / "in" / "print.tif", pixels, "CMYK")
    upright = Image.fromarray(np.rot90(pixels).copy())
    exif = Image.Exif()
    exif[274] = 6  # it is to be turned clockwise to look at it
    upright.save(tmp_path / "in" / "phone.png", exif=exif)
    assert len(predicted(Bright(), [tmp_path / "in"], tmp_path / "out").done) == 5
    coco, by_name = found_in(tmp_path / "out")
    for name, (one,) in by_name.items():
        assert one["bbox"] == list(box), name
    assert {(one["width"], one["height"]) for one in coco.loadImgs(coco.getImgIds())} == {(40, 24)}


def test_what_cannot_be_read_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    saved(tmp_path / "in" / "good.png", bright(8, 9, (2, 2, 3, 3)))
    cut = saved(tmp_path / "in" / "cut.png", np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8))
    cut.write_bytes(cut.read_bytes()[:900])
    (tmp_path / "in" / "text.jpg").write_text("no picture")
    summary = predicted(Bright(), [tmp_path / "in", tmp_path / "nowhere.png"], tmp_path / "out")
    assert [path.name for path in summary.done] == ["good_boxes.png"]
    assert list(found_in(tmp_path / "out")[1]) == ["good.png"]
    said = capsys.readouterr().err.replace("\n", "")
    for sentence in ("cut.png is damaged or cut short", "text.jpg is no image", "nowhere.png is not there"):
        assert [failed for failed in summary.failed if sentence in failed], summary.failed
        assert sentence in said


def test_what_was_found_before_it_was_stopped_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [saved(tmp_path / f"{name}.png", bright(8, 9, (2, 2, 3, 3))) for name in "ab"]
    read, reads = files.read_raster, []

    def stopped(file: Path) -> Any:
        if reads:
            raise KeyboardInterrupt
        reads.append(file)
        return read(file)

    monkeypatch.setattr(files, "read_raster", stopped)
    for _ in range(2):  # where nothing was found, what is there stays
        with pytest.raises(KeyboardInterrupt):
            predicted(Bright(), paths, tmp_path / "out")
        assert {name: len(boxes) for name, boxes in found_in(tmp_path / "out")[1].items()} == {"a.png": 1}


def test_nothing_is_left_of_an_image_whose_place_cannot_be_read(tmp_path: Path):
    path = saved(tmp_path / "a.png", bright(8, 9, (2, 2, 3, 3)))
    (tmp_path / "a.pgw").write_text("10 0 0")
    summary = predicted(Bright(), [path], tmp_path / "out")
    assert "a.pgw is no world file" in summary.failed[0]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["boxes.json"]


def test_pictures_of_one_name_are_told_apart(tmp_path: Path):
    paths = [saved(tmp_path / name / "a.png", bright(8, 9, (2, 2, 3, 3))) for name in ("x", "y")]
    summary = predicted(Bright(), paths, tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix() for path in summary.done} == {
        "x/a_boxes.png",
        "y/a_boxes.png",
    }
    assert found_in(tmp_path / "out")[1].keys() == {"x/a.png", "y/a.png"}


def test_results_that_cannot_be_written_are_one_sentence(tmp_path: Path):
    path = saved(tmp_path / "a_boxes.png", bright(8, 9, (2, 2, 3, 3)))
    (tmp_path / "file").touch()
    with pytest.raises(InferenceError, match=r"a_boxes\.png cannot be written to .*file \(.*\): make room there, or"):
        predicted(Bright(), [path], tmp_path / "file")
    before = path.read_bytes()
    other = saved(tmp_path / "a.png", bright(8, 9, (2, 2, 3, 3)))
    with pytest.raises(InferenceError, match=r"a_boxes\.png is one of the images to predict"):
        predicted(Bright(), [path, other], tmp_path)
    assert path.read_bytes() == before
    (tmp_path / "out" / "boxes.json").mkdir(parents=True)
    with pytest.raises(InferenceError, match=r"boxes\.json cannot be written \(Is a directory\)"):
        predicted(Bright(), [path], tmp_path / "out")
    assert not [name for name in os.listdir(tmp_path / "out") if name.startswith(".")]


def test_with_annotations_there_is_a_list_that_cocos_tools_take_beside_them(tmp_path: Path):
    saved(tmp_path / "in" / "deep" / "a.png", marked(31, 47, *OBJECTS))
    listed = [{"id": 7, "file_name": "x.png"}, {"id": 9, "file_name": "val/a.png", "height": 31, "width": 47}]
    categories = [{"id": 5, "name": "mask"}, {"id": 3, "name": "face"}, {"id": 8, "name": "other"}]
    file = tmp_path / "true.json"
    file.write_text(json.dumps({"info": {}, "images": listed, "annotations": [], "categories": categories}))
    predicted(Marked(), [tmp_path / "in"], tmp_path / "out", attribute_names=EMOTIONS, annotations=file)
    results = COCO(file).loadRes(str(tmp_path / "out" / "coco_results.json"))
    assert [one["image_id"] for one in results.dataset["annotations"]] == [9] * 4
    _, by_name = found_in(tmp_path / "out")
    expected = [(one["bbox"], {1: 3, 2: 5}[one["category_id"]]) for one in by_name["deep/a.png"]]
    assert [(one["bbox"], one["category_id"]) for one in results.dataset["annotations"]] == expected
    saved(tmp_path / "in" / "z.png", marked(8, 8))
    with pytest.raises(InferenceError, match=r"true\.json lists no image 'z\.png': give the annotations of these"):
        predicted(Marked(), [tmp_path / "in"], tmp_path / "other", attribute_names=EMOTIONS, annotations=file)
    assert not (tmp_path / "other").exists()  # before anything is predicted
    file.write_text(json.dumps({"images": listed, "annotations": [], "categories": categories[1:]}))
    with pytest.raises(InferenceError, match=r"true\.json has no category 'mask', which the run finds"):
        predicted(Marked(), [tmp_path / "in"], tmp_path / "out", attribute_names=EMOTIONS, annotations=file)


def test_objects_of_a_placed_image_lie_on_earth_and_none_where_it_has_no_data(tmp_path: Path):
    box = (9, 5, 17, 8)
    path = tmp_path / "in" / "a.tif"
    path.parent.mkdir()
    scale, tie = (33550, 12, [10.0, 10.0, 0.0]), (33922, 12, [0, 0, 0, 5e5, 5.4e6, 0])
    keys = (34735, 3, [1, 1, 0, 1, 3072, 0, 1, 32633])
    pixels = bright(24, 40, box)
    path.write_bytes(tiff_file(pixels, photometric=2, tags=[scale, tie, keys]))
    predicted(Bright(), [path], tmp_path / "out")
    placed = json.loads((tmp_path / "out" / "a_boxes.geojson").read_text())
    assert placed["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    (one,) = placed["features"]
    corners = np.array(one["geometry"]["coordinates"][0])
    np.testing.assert_allclose(corners.min(0), (500090, 5399870))
    np.testing.assert_allclose(corners.max(0), (500260, 5399950))
    gaps = np.dstack([pixels, np.full((24, 40), 255, np.uint8)])
    gaps[8:11, 12:25, 3] = 0
    path.write_bytes(tiff_file(gaps, photometric=2, extra=[2]))
    predicted(Bright(), [path], tmp_path / "out2")
    assert found_in(tmp_path / "out2")[1] == {"a.tif": []}
