"""Supervisely's projects: img/ and ann/ with a .json for each image, and meta.json with the classes."""

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

from segjax.data.formats.annotations import Annotations, known_size
from segjax.data.formats.images import shown
from segjax.data.formats.json_files import read_json
from segjax.data.formats.tools.marks import (
    Labelled,
    Mark,
    Reading,
    bitmap,
    by_folder,
    listed,
    painted,
    pairs,
    polygon,
    rectangle,
    with_holes,
)
from segjax.errors import DataError

_LARGEST = 100_000_000
"""Bytes of a painted object, unpacked: one that claims more is refused."""


def read(root: Path, files: dict[Path, Any]) -> Reading | None:
    """Read polygons with their holes, rectangles and bitmaps; objects without an area are left out."""
    mine = {path: data for path, data in files.items() if path.parent.name == "ann" and _is_of_image(data)}
    if not mine:
        return None
    found = Annotations(root, ())
    images = [image for path, data in mine.items() if (image := _image(found, path, data))]
    return Reading("Supervisely", found, by_folder(root, images), _classes(found))


def _is_of_image(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("objects"), list) and isinstance(data.get("size"), dict)


def _classes(found: Annotations) -> list[str] | None:
    for folder in (found.source, found.source.parent):
        if (folder / "meta.json").is_file():
            classes = listed(found, "/meta.json", read_json(folder / "meta.json"), "classes")
            return [str(one["title"]) for one in classes if isinstance(one, dict) and "title" in one]
    return None


def _image(found: Annotations, file: Path, data: dict[str, Any]) -> Labelled | None:
    where = f"/{shown(file.relative_to(found.source))}"
    size = known_size(data["size"].get("height"), data["size"].get("width"))
    path = file.parent.parent / "img" / file.name.removesuffix(".json")
    if not path.is_file():
        found.error("absent file", where, f"has no image img/{shown(path.name)} beside ann/: copy it there")
    elif size is None:
        found.error("size", where, "has no `size` of `height` and `width`: export it again")
    else:
        marks = []
        for number, one in enumerate(data["objects"]):
            here = f"{where} object {number}"
            try:
                mark = _mark(found, here, one, size)
            except (DataError, zlib.error, binascii.Error) as error:
                found.error("outline", here, f"has a bitmap that cannot be read ({error}): draw it again")
                continue
            if mark:
                marks.append(mark)
        return Labelled(path, size, marks)
    return None


def _mark(found: Annotations, where: str, one: Any, size: tuple[int, int]) -> Mark | None:
    one = one if isinstance(one, dict) else {}
    label, kind, points = str(one.get("classTitle") or ""), one.get("geometryType"), one.get("points")
    points = points if isinstance(points, dict) else {}
    exterior = pairs(points.get("exterior"), 2)
    if not label:
        found.error("unknown category", where, "has no `classTitle`: export it again")
    elif kind == "polygon" and exterior and len(exterior) > 2:
        holes = (pairs(hole) for hole in listed(found, where, points, "interior"))
        return with_holes(polygon(label, where, exterior), [hole for hole in holes if hole], size)
    elif kind == "rectangle" and exterior:
        (left, top), (right, bottom) = (tuple(map(side, zip(*exterior, strict=True))) for side in (min, max))
        return rectangle(label, where, left, top, right - left + 1, bottom - top + 1)  # both corners are inside
    elif kind == "bitmap" and isinstance(one.get("bitmap"), dict):
        if origin := pairs([one["bitmap"].get("origin")], 1):
            (x, y), *_ = origin
            unpack = zlib.decompressobj()
            data = unpack.decompress(base64.b64decode(one["bitmap"].get("data") or ""), _LARGEST)
            return bitmap(label, where, painted(data, "its bitmap"), int(x), int(y), size)
        found.error("outline", where, "has a bitmap without an `origin` of two numbers: export it again")
    else:
        found.warn("outline", where, f"is a {kind}, which has no area or too few points: it is left out")
    return None
