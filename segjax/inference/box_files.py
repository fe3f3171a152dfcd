"""Objects of picture files: their boxes drawn, and written down in COCO's format."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from rich.console import Console
from rich.progress import Progress

from segjax.data.formats.images import read_image, shown
from segjax.drawing import Palette, draw_boxes, notes
from segjax.errors import DataError, InferenceError
from segjax.inference.boxes import predict_boxes
from segjax.inference.files import COLUMNS, Summary, say
from segjax.inference.image_files import Picture, find_pictures, name_results
from segjax.inference.outputs import replacing, write_picture
from segjax.inference.prediction import Variables
from segjax.models import Detections

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
) -> Summary:
    """Find the objects in picture files of any size and mode, and write what came of it below the folder `out`.

    For a picture called a.jpg `a_boxes.png`, the picture with the boxes, classes and scores of its objects; and for all
    pictures `boxes.json`, in COCO's format of annotations with a `score` each, and the attributes' scores, so that
    whatever reads a data set of that format reads it. Class k has the category k + 1. Boxes are in pixels of the
    upright picture.

    A picture that cannot be read is named on stderr and left out; the summary has it among the failed. A result is
    whole or not there, even when the process is killed; earlier results of the same name are replaced.

    Args:
        model: takes RGB images (n h w 3), uint8; what it returns has `detections`.
        variables: what `model.apply` takes, as `segjax.load` gives them.
        paths: files, folders (with their subfolders) and globs (`**` for any number of folders).
        out: made where it is missing.
        class_names: of every class that the model tells.
        palette: the colour (red, green, blue in 0..255) of every class.
        attribute_names: of every attribute that the model scores.
        size: as in `predict_boxes`.
        max_boxes: of one picture.
        least: the score from which an object is written and drawn.

    Raises:
        InferenceError: as `predict_boxes`; a result that would overwrite one of the pictures, or cannot be written.
    """
    begin = time.monotonic()
    variables = jax.device_put(variables)
    pictures, failed = find_pictures(paths)
    stems = name_results(pictures, ["_boxes.png"], Path(out))
    coco = _coco(class_names)
    done = []
    with Progress(*COLUMNS, console=Console(stderr=True)) as progress:
        for problem in failed:
            say(progress, problem)
        for picture, name, stem in progress.track(
            list(zip(pictures, _file_names(pictures), stems, strict=True)), description=""
        ):
            target = Path(f"{stem}_boxes.png")
            try:
                image = read_image(picture.file)
                found = predict_boxes(model, variables, image, size=size, max_boxes=max_boxes, least=least)
                drawn = draw_boxes(image, notes(found, class_names, attribute_names), palette)
                write_picture(target, drawn)
                _add(coco, name, image.shape, found, attribute_names)
                done.append(target)
            except DataError as error:
                failed.append(str(error))
                say(progress, failed[-1])
            except OSError as error:
                raise _unwritable(target, error) from error
    try:
        with replacing(Path(out) / COCO_FILE) as file:
            file.write(json.dumps(coco, indent=1).encode())
    except OSError as error:
        raise _unwritable(Path(out) / COCO_FILE, error) from error
    return Summary(tuple(done), tuple(failed), time.monotonic() - begin)


def _file_names(pictures: Sequence[Picture]) -> list[str]:
    """What the annotations call each picture: its path below what it was found in, or below what holds all of them."""
    names = [os.path.relpath(file, base) for file, base in pictures]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([os.path.abspath(file.parent) for file, _ in pictures])
    return [os.path.relpath(file, common) for file, _ in pictures]


def _coco(class_names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    return {"images": [], "categories": categories, "annotations": []}


def _add(
    coco: dict[str, list[dict[str, Any]]],
    name: str,
    shape: tuple[int, ...],
    found: Detections,
    attribute_names: Sequence[str],
) -> None:
    image = len(coco["images"]) + 1
    coco["images"].append({"id": image, "file_name": name, "height": shape[0], "width": shape[1]})
    for i, box in enumerate(np.asarray(found.boxes, np.float64)):
        annotation: dict[str, Any] = {
            "id": len(coco["annotations"]) + 1,
            "image_id": image,
            "category_id": int(found.labels[i]) + 1,
            "bbox": [round(value, 2) for value in box.tolist()],
            "area": round(float(box[2] * box[3]), 2),
            "iscrowd": 0,
            "score": round(float(found.scores[i]), 5),
        }
        if found.attributes is not None:
            scores = (round(float(score), 5) for score in found.attributes[i])
            annotation["attributes"] = dict(zip(attribute_names, scores, strict=True))
        coco["annotations"].append(annotation)


def _unwritable(path: Path, error: OSError) -> InferenceError:
    return InferenceError(
        f"{shown(path)} cannot be written ({error.strerror or error}): make room, or give --out a folder of yours."
    )
