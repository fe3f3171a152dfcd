"""Folders as labelling tools leave them: eight images with a disc's outline and a box, the same for every tool."""

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COUNT = 8
SIZE = 48, 72
"""Height and width of the images."""
BOX = 50.0, 6.0, 12.0, 9.0
"""The cat's x, y, width and height."""


def corners(number: int) -> list[list[float]]:
    """The outline of the dog of an image."""
    x, y = 6 + 2 * number, 10 + number
    return [[x, y], [x + 20, y + 2], [x + 14, y + 18], [x + 2, y + 15]]


def image(path: Path, number: int) -> Path:
    """Write an image that no other one equals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: Any) -> None:
    """Write a file of text or JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def labelme(root: Path) -> None:
    """As labelme 5 writes: paths as of Windows, the image within."""
    x, y, width, height = BOX
    for n in range(COUNT):
        image(root / f"{n}.png", n)
        dog = {"label": "dog", "points": corners(n), "shape_type": "polygon", "group_id": None, "flags": {}}
        cat = {"label": "cat", "points": [[x + width, y + height], [x, y]], "shape_type": "rectangle"}
        said = {"version": "5.4.1", "flags": {}, "shapes": [dog, cat], "imagePath": f"..\\taken\\{n}.png"}
        text(root / f"{n}.json", said | {"imageData": "QUJD", "imageHeight": SIZE[0], "imageWidth": SIZE[1]})


def via(root: Path) -> None:
    """As VIA 2 saves a project."""
    entries = {}
    for n in range(COUNT):
        path = image(root / f"{n}.png", n)
        x, y = ([point[axis] for point in corners(n)] for axis in (0, 1))
        dog = {"name": "polygon", "all_points_x": x, "all_points_y": y}
        cat = dict(zip(("x", "y", "width", "height"), BOX, strict=True)) | {"name": "rect"}
        regions = [
            {"shape_attributes": dog, "region_attributes": {"type": "dog", "remark": "barks"}},
            {"shape_attributes": cat, "region_attributes": {"type": {"cat": True}}},
        ]
        size = path.stat().st_size
        entries[f"{n}.png{size}"] = {"filename": f"{n}.png", "size": size, "regions": regions, "file_attributes": {}}
    text(root / "via_project.json", {"_via_settings": {"ui": {}}, "_via_img_metadata": entries, "_via_attributes": {}})


def label_studio(root: Path) -> None:
    """As Label Studio exports JSON of uploaded images."""
    tasks = []
    across, down = SIZE[1] / 100, SIZE[0] / 100
    for n in range(COUNT):
        image(root / "images" / f"{n}.png", n)
        sized = {"original_width": SIZE[1], "original_height": SIZE[0], "image_rotation": 0}
        dog = {"points": [[x / across, y / down] for x, y in corners(n)], "closed": True, "polygonlabels": ["dog"]}
        x, y, width, height = BOX
        cat = {"x": x / across, "y": y / down, "width": width / across, "height": height / down, "rotation": 0}
        results = [
            sized | {"type": "polygonlabels", "value": dog},
            sized | {"type": "rectanglelabels", "value": cat | {"rectanglelabels": ["cat"]}},
            {"type": "choices", "value": {"choices": ["sharp"]}},
        ]
        cancelled = {"was_cancelled": True, "result": []}
        said = {"id": n + 7, "data": {"image": f"/data/upload/1/1f2e3d4c-{n}.png"}, "predictions": []}
        tasks.append(said | {"annotations": [cancelled, {"was_cancelled": False, "result": results}]})
    text(root / "project-1-at-2024-01-01.json", tasks)


def supervisely(root: Path) -> None:
    """As Supervisely downloads a project."""
    x, y, width, height = (int(value) for value in BOX)
    text(
        root / "meta.json", {"classes": [{"title": "dog", "shape": "polygon"}, {"title": "cat", "shape": "rectangle"}]}
    )
    for n in range(COUNT):
        image(root / "ds0" / "img" / f"{n}.png", n)
        dog = {"classTitle": "dog", "geometryType": "polygon", "points": {"exterior": corners(n), "interior": []}}
        last = [x + width - 1, y + height - 1]
        cat = {"classTitle": "cat", "geometryType": "rectangle", "points": {"exterior": [[x, y], last], "interior": []}}
        size = {"height": SIZE[0], "width": SIZE[1]}
        text(
            root / "ds0" / "ann" / f"{n}.png.json", {"description": "", "size": size, "tags": [], "objects": [dog, cat]}
        )


def yolo(root: Path) -> None:
    """As Ultralytics' sets are laid out, data.yaml of another machine."""
    x, y, width, height = BOX
    text(
        root / "data.yaml",
        "path: /home/elsewhere/set\ntrain: images/train\nval: images/val\nnames:\n  0: dog\n  1: cat\n",
    )
    for n in range(COUNT):
        split = "val" if n > 5 else "train"
        image(root / "images" / split / f"{n}.png", n)
        dog = " ".join(f"{x / SIZE[1]:.9f} {y / SIZE[0]:.9f}" for x, y in corners(n))
        middle = f"{(x + width / 2) / SIZE[1]:.9f} {(y + height / 2) / SIZE[0]:.9f}"
        cat = f"{middle} {width / SIZE[1]:.9f} {height / SIZE[0]:.9f}"
        text(root / "labels" / split / f"{n}.txt", f"0 {dog}\n1 {cat}\n")


def labelbox(root: Path) -> None:
    """As Labelbox exports: the rows of NDJSON, an image by its external id."""
    rows = []
    x, y, width, height = BOX
    for n in range(COUNT):
        image(root / "images" / f"{n}.png", n)
        polygon = [{"x": x, "y": y} for x, y in corners(n)]
        dog = {"name": "dog", "annotation_kind": "ImagePolygon", "polygon": polygon}
        box = {"top": y, "left": x, "height": height, "width": width}
        cat = {"name": "cat", "annotation_kind": "ImageBoundingBox", "bounding_box": box}
        point = {"name": "nose", "annotation_kind": "ImagePoint", "point": {"x": 3, "y": 4}}
        row = {"id": f"cl{n}", "external_id": f"{n}.png", "row_data": f"https://storage.labelbox.com/cl{n}?token=1"}
        labels = [{"label_kind": "Default", "annotations": {"objects": [dog, cat, point], "classifications": []}}]
        size = {"height": SIZE[0], "width": SIZE[1], "mime_type": "image/png"}
        rows.append({"data_row": row, "media_attributes": size, "projects": {"cl9": {"labels": labels}}})
    text(root / "export.ndjson", "\n".join(map(json.dumps, rows)))


TOOLS: dict[str, Callable[[Path], None]] = {
    "labelme": labelme,
    "VIA": via,
    "Label Studio": label_studio,
    "Labelbox": labelbox,
    "Supervisely": supervisely,
    "YOLO": yolo,
}


def packed_png(inside: np.ndarray) -> str:
    """A painted object as Supervisely packs it."""
    stream = io.BytesIO()
    Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)).save(stream, "PNG")
    return base64.b64encode(zlib.compress(stream.getvalue())).decode()
