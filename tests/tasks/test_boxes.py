"""What is written of a model that finds boxes, in images and in a video."""

from pathlib import Path

import cv2
import numpy as np
from box_records import DATA
from PIL import Image
from pycocotools.coco import COCO
from read_off import Bright, bright

from segjax.data.formats.rasters import Raster
from segjax.tasks import Options
from segjax.tasks.boxes import BoxPredictions

BOX = (24, 12, 60, 48)


def test_boxes_come_back_from_the_size_that_the_model_sees(tmp_path: Path):
    predictions = BoxPredictions(DATA, size=(32, 32), max_boxes=1)
    Image.fromarray(bright(96, 128, BOX)).save(tmp_path / "a.png")
    predictions.write_files(Bright(), {}, [tmp_path / "a.png"], tmp_path / "out", Options(score=0.5))
    coco = COCO(tmp_path / "out" / "boxes.json")
    (found,) = coco.loadAnns(coco.getAnnIds())
    np.testing.assert_allclose(found["bbox"], BOX, atol=0.01)
    others = [Raster(bright(96, 128, BOX)), Raster(bright(64, 64, (4, 8, 20, 32)), missing=np.ones((64, 64), bool))]
    one, none = predictions.of_images(Bright(), {}, others, Options(score=0.5))
    assert one.objects is not None
    assert none.objects is not None
    np.testing.assert_allclose(one.objects.boxes, [BOX], atol=0.01)
    assert not len(none.objects.boxes)  # as there is no data
    assert predictions.tells.described()["fitted"] == [32, 32]
    predictions.write_files(Bright(), {}, [tmp_path / "a.png"], tmp_path / "out", Options(score=1.0))
    assert COCO(tmp_path / "out" / "boxes.json").getAnnIds() == []


def test_frames_have_their_boxes_drawn(tmp_path: Path):
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480))
    for _ in range(2):
        writer.write(bright(480, 640, (240, 160, 200, 160)))
    writer.release()
    predictions = BoxPredictions(DATA, size=None, max_boxes=1)
    video = predictions.write_video(Bright(), {}, tmp_path / "in.avi", tmp_path / "out.avi", Options())
    assert video.frames == 2
    _, frame = cv2.VideoCapture(str(tmp_path / "out.avi")).read()
    red = frame[..., 2].astype(int) - frame[..., 0] > 120  # the colour of the class
    assert red[155:165, 240:440].any(0).mean() > 0.9
    assert not red[200:280, 260:420].any()
