"""Labelbox's export: a row for each image in a file of NDJSON, or the rows as one list."""

from pathlib import Path
from typing import Any

import numpy as np

from segjax.data.formats.annotations import Annotations, is_number
from segjax.data.formats.images import read_image, shown
from segjax.data.formats.mask_files import decode_mask
from segjax.data.formats.tools.marks import (
    ImagesBelow,
    Labelled,
    Mark,
    Reading,
    bitmap,
    by_folder,
    listed,
    pairs,
    polygon,
    rectangle,
    stored_size,
)
from segjax.errors import DataError


def read(root: Path, files: dict[Path, Any]) -> Reading | None:
    """Read polygons, boxes, and masks whose files are below the folder; of several labels of an image the first.

    A row without a label is left out: nobody has said that there is nothing in its image.
    """
    mine = {path: data for path, data in files.items() if isinstance(data, list) and data and all(map(_is_row, data))}
    if not mine:
        return None
    found, below = Annotations(root, ()), ImagesBelow(root)
    images = [
        image
        for path, rows in mine.items()
        for number, row in enumerate(rows, 1)
        if (image := _image(found, below, path, number, row))
    ]
    return Reading("Labelbox", found, by_folder(root, images))


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and isinstance(row.get("data_row"), dict) and isinstance(row.get("projects"), dict)


def _image(found: Annotations, below: ImagesBelow, file: Path, number: int, row: dict[str, Any]) -> Labelled | None:
    where, folder = f"/{shown(file.relative_to(found.source))} row {number}", file.parent
    labels = [
        label
        for project in row["projects"].values()
        for label in listed(found, where, project, "labels")
        if isinstance(label, dict)
    ]
    if not labels:
        found.warn("not labelled", where, "has no label: its image is left out")
        return None
    said = row["data_row"]
    names = [str(said[key]).partition("?")[0] for key in ("external_id", "global_key", "row_data") if said.get(key)]
    path = next((path for name in names if (path := below.find(name, folder))), None)
    if path is None:
        called = f"'{shown(names[0])}'" if names else "without a name"
        where_to = shown(found.source)
        found.error("absent file", where, f"is of the image {called}, which is not below {where_to}: copy it there")
        return None
    if len(labels) > 1:
        found.warn("labels", where, f"has {len(labels)} labels of one image: the first is read")
    try:
        size = stored_size(path)
    except DataError as error:
        found.error("unreadable", where, f"cannot be used: {error}")
        return None
    objects = listed(found, where, labels[0].get("annotations"), "objects")
    marks = (_mark(found, below, folder, f"{where} object {n}", one, size) for n, one in enumerate(objects))
    return Labelled(path, size, [mark for mark in marks if mark])


def _mark(
    found: Annotations, below: ImagesBelow, folder: Path, where: str, one: Any, size: tuple[int, int]
) -> Mark | None:
    label = str(one.get("name") or "") if isinstance(one, dict) else ""
    if not label:
        found.error("unknown category", where, "has no `name`: export it again")
        return None
    points, box = one.get("polygon"), one.get("bounding_box")
    each = points if isinstance(points, list) else []
    if corners := pairs([[point.get("x"), point.get("y")] for point in each if isinstance(point, dict)]):
        return polygon(label, where, corners)
    if isinstance(box, dict) and all(is_number(box.get(key)) for key in ("left", "top", "width", "height")):
        return rectangle(label, where, box["left"], box["top"], box["width"], box["height"])
    if mask := one.get("mask") or one.get("composite_mask"):
        return _painted(found, below, folder, where, label, mask, size)
    found.warn("outline", where, f"is a {one.get('annotation_kind')}, which has no area: it is left out")
    return None


def _painted(
    found: Annotations, below: ImagesBelow, folder: Path, where: str, label: str, mask: Any, size: tuple[int, int]
) -> Mark | None:
    """A mask of an object, or its colour in one of several; addresses are not fetched, which takes a key."""
    url = str(mask.get("url") or "") if isinstance(mask, dict) else ""
    path = below.find(url.partition("?")[0], folder)
    if path is None:
        found.error(
            "outline",
            where,
            f"has its mask at {shown(url)[:80] or 'no address'}, which is not fetched: download the masks with "
            f"Labelbox's own tool, and put them below {shown(found.source)} with their addresses' last parts as names",
        )
        return None
    stored = decode_mask(path)
    if stored.shape[:2] != size:
        sizes = f"{stored.shape[1]}x{stored.shape[0]} for {size[1]}x{size[0]} pixels"
        found.error("outline", where, f"has a mask of {sizes}: export both again")
        return None
    colour = mask.get("color_rgb")
    if isinstance(colour, list) and len(colour) == 3:
        coloured = stored if stored.ndim == 3 else read_image(path)  # a palette's numbers are no colours
        inside = (coloured == np.array(colour)).all(axis=2)
        if not inside.any():
            found.error("outline", where, f"has no pixel of its colour {colour} in {shown(path)}: export both again")
            return None
    else:
        inside = stored.any(axis=2) if stored.ndim == 3 else stored > 0
    return bitmap(label, where, np.asarray(inside), 0, 0, size)
