"""Objects of image files: their boxes drawn, and written down in COCO's format."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from segjax.data.formats.bands import Bands
from segjax.data.formats.coco import load_json
from segjax.data.formats.images import shown
from segjax.drawing import Palette, draw_boxes, notes
from segjax.errors import InferenceError
from segjax.inference.box_list import BoxList, write_json
from segjax.inference.boxes import predict_boxes
from segjax.inference.files import Opened, Summary, for_each_image
from segjax.inference.found import Objects, where_there_is_data
from segjax.inference.georeference import Place, place_of
from segjax.inference.outputs import replacing, write_image
from segjax.inference.prediction import Variables
from segjax.ops.boxes import Detections
from segjax.strict_json import as_json

COCO_FILE, RESULTS_FILE = "boxes.json", "coco_results.json"
LEAST = 0.3
"""The score from which boxes are drawn and written where nobody says another."""


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
    least: float = LEAST,
    bands: Bands | None = None,
    annotations: Path | None = None,
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
        annotations: as in `BoxResults`.

    Raises:
        InferenceError: as `predict_boxes` and `BoxResults`; a result that would overwrite one of the image files, or
            cannot be written.
    """
    variables = jax.device_put(variables)
    results = BoxResults(Objects(class_names, palette, attribute_names), annotations)

    def write(opened: Opened) -> Path:
        assert isinstance(opened.image, np.ndarray)  # windows were not asked for
        found = predict_boxes(model, variables, opened.image, size=size, max_boxes=max_boxes, least=least)
        return results.write(opened, found)

    with results.of_all(out):
        return for_each_image(write, paths, out, results.endings, bands, refuse=results.refuse_unlisted)


class BoxResults:
    """What is written for the objects of each image file, and for those of all of them.

    For a file called a.jpg `a_boxes.png`, the image with the boxes, classes and scores of its objects; where it is
    placed on earth, `a_boxes.geojson`, their outlines there; and for all of
    them `boxes.json`, in COCO's format of annotations with a `score` each, and the attributes' scores, so that
    whatever reads a data set of that format reads it. Class k has the category k + 1. Boxes are in pixels of the
    upright image.

    With `annotations`, a file in COCO's format, there is `coco_results.json` too, the list that pycocotools' `loadRes`
    takes beside that file, with its ids of images and categories.
    """

    endings: tuple[str, ...] = ("_boxes.png", "_boxes.geojson")
    """Of the names of all results that a file can have."""

    def __init__(self, objects: Objects, annotations: Path | None = None) -> None:
        """Take what the model tells.

        Raises:
            DataError: the annotations have not the lists of COCO's format.
            InferenceError: they have no category of a class that the model finds.
        """
        self._objects = objects
        self._ids = None if annotations is None else _Ids(annotations, objects.class_names)
        self._list = BoxList(objects)

    def write(self, opened: Opened, found: Detections) -> Path:
        """Draw the objects of one image, without the axis of images, and keep them for the end of `of_all`.

        Raises:
            DataError: a file beside the image does not say where it lies.
        """
        target, on_earth = (Path(f"{opened.stem}{ending}") for ending in self.endings)
        place = place_of(opened.file)  # before anything is written: it may be that it cannot be read
        found = where_there_is_data(found, opened.missing)
        drawn = notes(found, self._objects.class_names, self._objects.attribute_names)
        write_image(target, draw_boxes(opened.shown, drawn, self._objects.palette))
        if place is not None and place.affine is not None:
            self._write_on_earth(on_earth, found, place)
        self._list.add(opened.image.shape[:2], found, file_name=opened.name)
        return target

    def _write_on_earth(self, path: Path, found: Detections, place: Place) -> None:
        features = []
        for i, (x, y, w, h) in enumerate(np.asarray(found.boxes, np.float64)):
            corners = np.array([(x, y, 1), (x, y + h, 1), (x + w, y + h, 1), (x + w, y, 1), (x, y, 1)])
            outline = (corners @ np.asarray(place.affine).T)[:, :2].tolist()
            about = {
                "class": self._objects.class_names[int(found.labels[i])],
                "score": round(float(found.scores[i]), 5),
            }
            geometry = {"type": "Polygon", "coordinates": [outline]}
            features.append({"type": "Feature", "properties": about, "geometry": geometry})
        collection: dict[str, Any] = {"type": "FeatureCollection", "features": features}
        if place.epsg is not None:  # of GeoJSON 2008, which GDAL reads: what came after knows WGS 84 alone
            name = f"urn:ogc:def:crs:EPSG::{place.epsg}"
            collection["crs"] = {"type": "name", "properties": {"name": name}}
        with replacing(path) as file:
            file.write(as_json(collection, indent=1).encode())

    def refuse_unlisted(self, name: str) -> None:
        """Refuse an image before it is predicted.

        Raises:
            InferenceError: the annotations do not list an image of that name.
        """
        if self._ids is not None:
            self._ids.of_image(name)

    @contextmanager
    def of_all(self, out: str | os.PathLike[str]) -> Iterator[None]:
        """Write what was found in all images at the end, and where that comes early in those that were done.

        Raises:
            InferenceError: the file cannot be written.
        """
        try:
            yield
        except BaseException:
            if self._list.images:
                with suppress(InferenceError):  # for the reason, perhaps, that ended it, which counts
                    self._write_annotations(out)
            raise
        self._write_annotations(out)

    def _write_annotations(self, out: str | os.PathLike[str]) -> None:
        self._list.write(Path(out) / COCO_FILE)
        if self._ids is not None:
            names = {image["id"]: image["file_name"] for image in self._list.images}
            write_json(
                Path(out) / RESULTS_FILE,
                [
                    {
                        "image_id": self._ids.of_image(names[one["image_id"]]),
                        "category_id": self._ids.categories[one["category_id"] - 1],
                        "bbox": one["bbox"],
                        "score": one["score"],
                    }
                    for one in self._list.annotations
                ],
            )


class _Ids:
    """The ids that a file of annotations gives to images and categories."""

    def __init__(self, path: Path, class_names: Sequence[str]) -> None:
        parsed = load_json(path)
        self._path = path
        by_name = {category.get("name"): category.get("id") for category in parsed["categories"]}
        if missing := [name for name in class_names if name not in by_name]:
            raise InferenceError(
                f"{shown(path)} has no category '{missing[0]}', which the run finds: give the annotations of its data."
            )
        self.categories = [by_name[name] for name in class_names]
        self._images = {str(image.get("file_name")): image.get("id") for image in parsed["images"]}
        last = Counter(name.rpartition("/")[2] for name in self._images)
        for name, number in tuple(self._images.items()):  # images may be given by another folder than the file's
            if last[name.rpartition("/")[2]] == 1:
                self._images.setdefault(name.rpartition("/")[2], number)

    def of_image(self, name: str) -> Any:
        """The id of an image by its name, or by the last part of it where that is the only such one."""
        for one in (name, name.rpartition("/")[2]):
            if one in self._images:
                return self._images[one]
        raise InferenceError(f"{shown(self._path)} lists no image '{name}': give the annotations of these images.")
