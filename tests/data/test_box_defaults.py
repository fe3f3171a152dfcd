"""How a detector is trained, worked out from images and boxes of several kinds."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segjax.data import BoxDefaults, DataError, box_defaults


def write(
    root: Path, sizes: list[tuple[int, int]], sides: list[list[int]], *, written: bool = True, crowd: int = 0
) -> tuple[Path, Path]:
    """Black images of (height, width) with square boxes of those sides; `written` says sizes in the JSON file."""
    images, annotations = [], []
    (root / "images").mkdir()
    for number, (height, width) in enumerate(sizes):
        name = f"{number}.png"
        cv2.imwrite(str(root / "images" / name), np.zeros((height, width, 3), np.uint8))
        images.append({"id": number, "file_name": name} | ({"height": height, "width": width} if written else {}))
        for side in sides[number % len(sides)]:
            box = {"bbox": [1, 1, side, side], "category_id": 1 + number % 2, "image_id": number, "iscrowd": crowd}
            annotations.append(box | {"id": len(annotations) + 1, "area": side**2})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    parsed = {"images": images, "annotations": annotations, "categories": categories}
    (root / "boxes.json").write_text(json.dumps(parsed))
    return root / "boxes.json", root / "images"


@pytest.mark.parametrize(
    ("sizes", "sides", "expected"),
    [
        # Small images are seen in their own size, up to a multiple of 32; boxes from 20 pixels on.
        ([(90, 120)] * 12, [[20], [30]], {"fit": 128, "crop": 128, "stride": 4, "mosaic": 0.5}),
        # Large ones are shrunk as far as their boxes allow: 60 of 1200 pixels are 12.8 of 256.
        ([(800, 1200)] * 12, [[60], [200]], {"fit": 256, "crop": 256, "stride": 2, "mosaic": 0.5}),
        ([(800, 1200)] * 12, [[25], [200]], {"fit": 384, "crop": 384, "stride": 2, "mosaic": 0.5}),
        # Too small for 512 pixels: parts of the images as they are.
        ([(800, 1200)] * 12, [[12], [40]], {"fit": None, "crop": 256, "stride": 2, "mosaic": 0.5}),
        ([(800, 1200)] * 12, [[12], [170]], {"fit": None, "crop": 352, "stride": 2, "mosaic": 0.5}),
        # A mosaic would cut boxes as large as the images.
        ([(200, 200)] * 12, [[150]], {"fit": 224, "crop": 224, "stride": 4, "mosaic": 0.0}),
    ],
)
@pytest.mark.parametrize("written", [True, False])
def test_what_is_worked_out(tmp_path: Path, sizes: Any, sides: Any, expected: dict[str, Any], written: bool):
    found = box_defaults(*write(tmp_path, sizes, sides, written=written))
    assert {name: getattr(found, name) for name in expected} == expected
    assert (found.class_names, found.max_boxes) == (("cat", "dog"), 100)
    assert BoxDefaults.from_json(json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_there_is_room_for_all_boxes_of_every_split(tmp_path: Path):
    paths = write(tmp_path, [(96, 128)] * 9 + [(128, 96)], [[10] * 60])
    found = box_defaults(*paths)
    assert found.max_boxes == 120
    assert found.note.startswith("7 training images of 128x96 pixels have 420 boxes, up to 60 in one")
    (tmp_path / "test").mkdir()
    test, _ = write(tmp_path / "test", [(96, 128)] * 10, [[10] * 70])
    tested = box_defaults(*paths, test=test)
    assert tested.note.startswith("9 training images of 128x96 pixels have 540 boxes, up to 60 in one")
    assert tested.max_boxes == 140  # the run ended at the test without a score


def test_what_cannot_be_learned_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="none but of crowds"):
        box_defaults(*write(tmp_path, [(64, 64)] * 4, [[10]], crowd=1))
    with pytest.raises(DataError, match=r"is not in .*nowhere"):
        box_defaults(tmp_path / "boxes.json", tmp_path / "nowhere")
