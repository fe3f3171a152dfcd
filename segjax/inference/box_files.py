"""Objects of image files: their boxes drawn, and written down in COCO's format."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Bool

from segjax.data.formats.bands import Bands
from segjax.data.formats.images import shown
from segjax.drawing import Palette, draw_boxes, notes
from segjax.errors import InferenceError
from segjax.inference.boxes import predict_boxes
from segjax.inference.files import Opened, Summary, for_each_image
from segjax.inference.georeference import Place, place_of
from segjax.inference.outputs import replacing, write_image
from segjax.inference.prediction import Variables
from segjax.ops.boxes import Detections

COCO_FILE = "boxes.json"


def predict_box_files(
    model: nn.Module,
    variables: Variables,
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    class_names: Sequence[str],
    palette: Palette,
    attribute_names: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    max_boxes: int = 100,
    least: float = 0.3,
    bands: Bands | None = None,
) -> Summary:
    """Find the objects in image files of any size and mode, and write what came of it below the folder `out`.

    What is written is what `BoxResults` says. A file that cannot be read is named on stderr and left out; the summary
    has it among the failed. A result is whole or not there, even when the process is killed; earlier results of the
    same name are replaced.

    Args:
        model: takes images (n h w c) as they are stored; what it returns has `detections`.
        variables: what `model.apply` takes, as `segjax.load` gives them.
        paths: files, folders (with their subfolders) and globs (`**` for any number of folders).
        out: made where it is missing.
        class_names: of every class that the model tells.
        palette: the colour (red, green, blue in 0..255) of every class.
        attribute_names: of every attribute that the model scores.
        size: as in `predict_boxes`.
        max_boxes: of one image.
        least: the score from which an object is written and drawn.
        bands: what the images must be, as `Dataset.images` has it; None takes them as they are stored, in RGB.

    Raises:
        InferenceError: as `predict_boxes`; a result that would overwrite one of the image files, or cannot be written.
    """
    variables = jax.device_put(variables)
    results = BoxResults(class_names, palette, attribute_names)

    def write(opened: Opened) -> Path:
        found = predict_boxes(model, variables, opened.image, size=size, max_boxes=max_boxes, least=least)
        return results.write(opened, found)

    summary = for_each_image(write, paths, out, results.endings, bands)
    results.write_annotations(out)
    return summary


class BoxResults:
    """What is written for the objects of each image file, and for those of all of them.

    For a file called a.jpg `a_boxes.png`, the image with the boxes, classes and scores of its objects; where it is
    placed on earth, `a_boxes.geojson`, their outlines there; and for all of
    them `boxes.json`, in COCO's format of annotations with a `score` each, and the attributes' scores, so that
    whatever reads a data set of that format reads it. Class k has the category k + 1. Boxes are in pixels of the
    upright image.
    """

    endings = ("_boxes.png", "_boxes.geojson")
    """Of the names of all results that a file can have."""

    def __init__(self, class_names: Sequence[str], palette: Palette, attribute_names: Sequence[str] = ()) -> None:
        self._class_names, self._palette, self._attribute_names = class_names, palette, attribute_names
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def write(self, opened: Opened, found: Detections) -> Path:
        """Draw the objects of one image, without the axis of images, and keep them for `write_annotations`."""
        target, on_earth = (Path(f"{opened.stem}{ending}") for ending in self.endings)
        found = _where_there_is_data(found, opened.missing)
        drawn = notes(found, self._class_names, self._attribute_names)
        write_image(target, draw_boxes(opened.shown, drawn, self._palette))
        height, width, _ = opened.image.shape
        place = place_of(opened.file)
        if place is not None and place.affine is not None:
            self._write_on_earth(on_earth, found, place)
        number = len(self._images) + 1
        self._images.append({"id": number, "file_name": opened.name, "height": height, "width": width})
        for i, box in enumerate(np.asarray(found.boxes, np.float64)):
            annotation: dict[str, Any] = {
                "id": len(self._annotations) + 1,
                "image_id": number,
                "category_id": int(found.labels[i]) + 1,
                "bbox": [round(value, 2) for value in box.tolist()],
                "area": round(float(box[2] * box[3]), 2),
                "iscrowd": 0,
                "score": round(float(found.scores[i]), 5),
            }
            if found.attributes is not None:
                scores = (round(float(score), 5) for score in found.attributes[i])
                annotation["attributes"] = dict(zip(self._attribute_names, scores, strict=True))
            self._annotations.append(annotation)
        return target

    def _write_on_earth(self, path: Path, found: Detections, place: Place) -> None:
        features = []
        for i, (x, y, w, h) in enumerate(np.asarray(found.boxes, np.float64)):
            corners = np.array([(x, y, 1), (x, y + h, 1), (x + w, y + h, 1), (x + w, y, 1), (x, y, 1)])
            outline = (corners @ np.asarray(place.affine).T)[:, :2].tolist()
            about = {"class": self._class_names[int(found.labels[i])], "score": round(float(found.scores[i]), 5)}
            geometry = {"type": "Polygon", "coordinates": [outline]}
            features.append({"type": "Feature", "properties": about, "geometry": geometry})
        collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
        if place.epsg is not None:  # of GeoJSON 2008, which GDAL reads: what came after knows WGS 84 alone
            name = f"urn:ogc:def:crs:EPSG::{place.epsg}"
            collection["crs"] = {"type": "name", "properties": {"name": name}}
        with replacing(path) as file:
            file.write(json.dumps(collection, indent=1).encode())

    def write_annotations(self, out: str | os.PathLike[str]) -> None:
        """Write what was found in all images so far.

        Raises:
            InferenceError: the file cannot be written.
        """
        categories = [{"id": number, "name": name} for number, name in enumerate(self._class_names, start=1)]
        coco = {"images": self._images, "categories": categories, "annotations": self._annotations}
        path = Path(out) / COCO_FILE
        try:
            with replacing(path) as file:
                file.write(json.dumps(coco, indent=1).encode())
        except OSError as error:
            raise InferenceError(
                f"{shown(path)} cannot be written ({error.strerror or error}): make room, or give --out a folder of "
                "yours."
            ) from error


def _where_there_is_data(found: Detections, missing: Bool[np.ndarray, "h w"] | None) -> Detections:
    """The objects whose middle lies where the image has data."""
    if missing is None:
        return found
    boxes = np.asarray(found.boxes)
    column, row = (boxes[:, :2] + boxes[:, 2:] / 2).astype(int).T
    height, width = missing.shape
    there = ~missing[row.clip(0, height - 1), column.clip(0, width - 1)]
    return jax.tree.map(lambda values: np.asarray(values)[there], found)
