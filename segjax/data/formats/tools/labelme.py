"""labelme's files: a .json beside every image, with shapes."""

import base64
from functools import cache
from pathlib import Path
from typing import Any

from segjax.data.formats.annotations import Annotations, known_size
from segjax.data.formats.images import images_by_stem, shown
from segjax.data.formats.tools.marks import (
    ImagesBelow,
    Labelled,
    Mark,
    Reading,
    bitmap,
    by_folder,
    ellipse,
    painted,
    pairs,
    polygon,
    rectangle,
)
from segjax.errors import DataError


def read(root: Path, files: dict[Path, Any]) -> Reading | None:
    """Read files that have `shapes` and `imagePath` (labelme 3 to 5); what other shapes have no area is left out."""
    mine = {
        path: data for path, data in files.items() if isinstance(data, dict) and {"shapes", "imagePath"} <= data.keys()
    }
    if not mine:
        return None
    found, below = Annotations(root, ()), ImagesBelow(root)
    beside = cache(images_by_stem)
    for path in files.keys() - mine.keys():
        if path.stem in beside(path.parent):
            where = f"/{shown(path.relative_to(root))}"
            found.error("unreadable", where, "is beside an image, and has no `shapes` and `imagePath`: label it again")
    images = [image for path, data in mine.items() if (image := _image(found, below, path, data))]
    return Reading("labelme", found, by_folder(root, images))


def _image(found: Annotations, below: ImagesBelow, file: Path, data: dict[str, Any]) -> Labelled | None:
    where = f"/{shown(file.relative_to(found.source))}"
    said = str(data["imagePath"])
    path = below.find(said, file.parent) or below.find(f"{file.stem}{Path(said).suffix}", file.parent)
    if path is None:
        found.error(
            "absent file",
            where,
            f"is of the image '{shown(said)}', which is not below {shown(found.source)}: copy it there",
        )
        return None
    size = known_size(data.get("imageHeight"), data.get("imageWidth"))
    marks = []
    if not isinstance(data["shapes"], list):
        found.error("outline", where, "has no list of `shapes`: label it again")
        return None
    for number, shape in enumerate(data["shapes"]):
        here = f"{where} shape {number}"
        try:
            mark = _mark(found, here, shape, size)
        except DataError as error:
            found.error("outline", here, f"has a mask that cannot be read ({error})")
            continue
        if mark:
            marks.append(mark)
    return Labelled(path, size, marks)


def _mark(found: Annotations, where: str, shape: Any, size: tuple[int, int] | None) -> Mark | None:
    kind = shape.get("shape_type", "polygon") if isinstance(shape, dict) else None
    label, points = (str(shape.get("label") or ""), pairs(shape.get("points"), 1)) if kind else ("", None)
    if not label or points is None:
        found.error("outline", where, "has no `label`, or no `points` of numbers: draw it again")
    elif kind == "polygon" and len(points) > 2:
        return polygon(label, where, points)
    elif kind == "rectangle" and len(points) in (2, 4):
        (left, top), (right, bottom) = (tuple(map(side, zip(*points, strict=True))) for side in (min, max))
        return rectangle(label, where, left, top, right - left, bottom - top)
    elif kind == "circle" and len(points) == 2:
        (x, y), (a, b) = points
        radius = ((a - x) ** 2 + (b - y) ** 2) ** 0.5
        return ellipse(label, where, x, y, radius, radius)
    elif kind == "mask" and size and isinstance(shape.get("mask"), str):
        (x, y), *_ = points
        return bitmap(label, where, painted(base64.b64decode(shape["mask"]), "its mask"), round(x), round(y), size)
    else:
        found.warn("outline", where, f"is a {kind} of {len(points)} points, which has no area: it is left out")
    return None
