"""Any data set of files, written as annotations in COCO's format."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt

from segjax.data.checked import checked
from segjax.data.dataset import Dataset
from segjax.data.formats.box_layouts import find_boxes
from segjax.data.formats.classes import BACKGROUND
from segjax.data.formats.images import shown
from segjax.data.formats.polygons import outlined_area
from segjax.data.formats.tools.marks import bitmap, stored_size
from segjax.data.record import IGNORE
from segjax.data.sets.folder import FolderSource, folder
from segjax.errors import DataError
from segjax.mask_numbers import ignored_in
from segjax.strict_json import as_json
from segjax.whole import write_whole

SPLITS = ("train", "val", "test")


class Object(NamedTuple):
    """One object as COCO's format has it; labels count from 0."""

    label: int
    box: tuple[float, float, float, float]
    outline: Any
    crowd: bool


class Converted(NamedTuple):
    """What was written: train.json, val.json and test.json in a folder."""

    images: int
    objects: int
    warnings: tuple[str, ...] = ()
    """What of the annotations was left out, or may be meant otherwise."""


Images = Iterator[tuple[Path, tuple[int, int], list[Object]]]
"""Files with their height and width, and what is on them."""


def convert(root: str | os.PathLike[str], out: str | os.PathLike[str]) -> Converted:
    """Write what a labelling tool, Pascal VOC or a folder of masks says as annotations in COCO's format.

    Images stay where they are: their names are relative to the folder `out`, which `labelled` reads with the same
    splits. Of masks every connected component of a class is an object, in run lengths; the class called background is
    none, and ignored pixels are crowds.

    Raises:
        DataError: nothing there is understood, it has errors, or `out` cannot be written or has such files.
    """
    out = Path(out).absolute()
    if there := next((file for file in (out / f"{split}.json" for split in SPLITS) if file.exists()), None):
        raise DataError(f"{shown(there)} is there already: name another folder.")
    found = find_boxes(root)
    for one in found.read if found else ():
        one.refuse()
    data = None if found else folder(root)
    names = data.class_names if data else found.read[0].class_names if found else ()
    skipped = int(data is not None and data.class_names[0].lower() == BACKGROUND)
    images = objects = 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            these = _of_masks(data, split, skipped) if data else _of_objects(getattr(found, split))
            parsed = _parsed(these, names[skipped:], out)
            images, objects = images + len(parsed["images"]), objects + len(parsed["annotations"])
            write_whole(out / f"{split}.json", as_json(parsed))
    except OSError as error:
        raise DataError(f"{shown(out)} cannot be written ({error.strerror}): name another folder.") from None
    problems = [problem for one in (found.read if found else ()) for problem in one.problems]
    return Converted(images, objects, tuple(problem.sentence for problem in problems))


def _of_objects(images: Any) -> Images:
    for image in images:
        outlines = image.segmentations or (None,) * len(image.boxes)
        rows = zip(image.labels.tolist(), image.boxes.tolist(), outlines, image.crowd.tolist(), strict=True)
        yield image.path, image.size or stored_size(image.path), [Object(a, tuple(b), c, d) for a, b, c, d in rows]


def _of_masks(data: Dataset, split: str, skipped: int) -> Images:
    source = checked(data.open(split)).source
    assert isinstance(source, FolderSource)
    if len(source) != len(source.pairs):
        raise DataError("Images that are read by windows are not converted: cut them up.")
    for index, pair in enumerate(source.pairs):
        mask = source[index]["mask"]
        height, width = mask.shape[:2]
        objects = []
        for label, inside, crowd in _labels(mask, skipped):
            count, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
            marks = (bitmap("", "", parts == part, 0, 0, (height, width)) for part in range(1, count))
            objects += [Object(label, m.box, m.outline, crowd) for m in marks if m]
        yield pair.image, (height, width), objects


def _labels(mask: UInt[np.ndarray, "h w *k"], skipped: int) -> Iterator[tuple[int, Bool[np.ndarray, "h w"], bool]]:
    """Every label counted from 0 without what is skipped, where it is, and whether that is ignored.

    Of labels that may overlap each has its own ignored pixels; of others the first label has all of them.
    """
    if mask.ndim == 3:
        for label in range(mask.shape[-1]):
            yield label, mask[..., label] == 1, False
            yield label, mask[..., label] == IGNORE, True
    else:
        ignore = ignored_in(mask)
        for label in np.unique(mask[mask >= skipped]).tolist():
            yield 0 if label == ignore else label - skipped, mask == label, label == ignore


def _parsed(images: Images, names: tuple[str, ...], out: Path) -> dict[str, Any]:
    """COCO's three lists."""
    files: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for path, (height, width), objects in images:
        name = Path(os.path.relpath(path.absolute(), out)).as_posix()
        files.append({"id": len(files) + 1, "file_name": name, "height": height, "width": width})
        for one in objects:
            annotation = {"id": len(annotations) + 1, "image_id": len(files), "category_id": one.label + 1}
            area = outlined_area(one.outline, (height, width)) if one.outline else one.box[2] * one.box[3]
            annotation |= {"bbox": one.box, "area": area, "iscrowd": int(one.crowd)}
            annotations.append(annotation | ({"segmentation": one.outline} if one.outline else {}))
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return {"images": files, "annotations": annotations, "categories": categories}
