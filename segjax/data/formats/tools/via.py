"""The VGG Image Annotator's file: the regions of many images in one .json."""

from pathlib import Path
from typing import Any

from segjax.data.formats.annotations import Annotations, is_number
from segjax.data.formats.images import shown
from segjax.data.formats.tools.marks import (
    ImagesBelow,
    Labelled,
    Mark,
    Reading,
    by_folder,
    ellipse,
    pairs,
    polygon,
    rectangle,
)

_CLASS = ("class", "label", "type", "name", "category", "object")
"""What the attribute is called that says the class, where regions have several."""


def read(root: Path, files: dict[Path, Any]) -> Reading | None:
    """Read a project or its annotations (VIA 1 and 2); regions without an area are left out."""
    found, below = Annotations(root, ()), ImagesBelow(root)
    images, understood = [], False
    for path, data in files.items():
        entries = data.get("_via_img_metadata", data) if isinstance(data, dict) else None
        if not isinstance(entries, dict) or not all(_is_entry(one) for one in entries.values()) or not entries:
            continue
        understood = True
        images += [image for one in entries.values() if (image := _image(found, below, path, one))]
    return Reading("VIA", found, by_folder(root, images)) if understood else None


def _is_entry(one: Any) -> bool:
    return (
        isinstance(one, dict) and isinstance(one.get("filename"), str) and isinstance(one.get("regions"), (dict, list))
    )


def _image(found: Annotations, below: ImagesBelow, file: Path, entry: dict[str, Any]) -> Labelled | None:
    where = f"/{shown(file.relative_to(found.source))} '{shown(entry['filename'])}'"
    path = below.find(entry["filename"], file.parent)
    if path is None:
        found.error("absent file", where, f"is not below {shown(found.source)}: copy it there")
        return None
    regions = entry["regions"]
    each = enumerate(regions.values() if isinstance(regions, dict) else regions)
    marks = (_mark(found, f"{where} region {number}", region) for number, region in each)
    return Labelled(path, None, [mark for mark in marks if mark])


def _mark(found: Annotations, where: str, region: Any) -> Mark | None:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    label = _label(region.get("region_attributes")) if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        found.error("outline", where, "has no `shape_attributes`: draw it again")
    elif label is None:
        found.error(
            "class", where, f"has no one attribute for its class ({', '.join(_CLASS)}): give every region the same one"
        )
    else:
        return _drawn(found, where, shape, label)
    return None


def _label(attributes: Any) -> str | None:
    """The class: of one attribute alone or of the one that is called so; a box that is ticked counts by its name."""
    known = attributes if isinstance(attributes, dict) else {}
    named = [name for word in _CLASS for name in known if name.lower() == word] or list(known)
    value = known[named[0]] if len(known) == 1 or (named[:1] and named[0].lower() in _CLASS) else None
    if isinstance(value, dict):
        ticked = [name for name, state in value.items() if state]
        value = ticked[0] if len(ticked) == 1 else None
    return str(value).strip() or None if value is not None else None


def _points(x: Any, y: Any) -> list[tuple[float, float]] | None:
    same = isinstance(x, list) and isinstance(y, list) and len(x) == len(y)
    return pairs([[*one] for one in zip(x, y, strict=True)]) if same else None


def _drawn(found: Annotations, where: str, shape: dict[str, Any], label: str) -> Mark | None:
    numbers = {name: float(value) for name, value in shape.items() if is_number(value)}
    match shape.get("name"), numbers:
        case "polygon", _ if points := _points(shape.get("all_points_x"), shape.get("all_points_y")):
            return polygon(label, where, points)
        case "rect", {"x": x, "y": y, "width": width, "height": height}:
            return rectangle(label, where, x, y, width, height)
        case "circle", {"cx": x, "cy": y, "r": radius}:
            return ellipse(label, where, x, y, radius, radius)
        case "ellipse", {"cx": x, "cy": y, "rx": across, "ry": down}:
            return ellipse(label, where, x, y, across, down, numbers.get("theta", 0.0))
    found.warn("outline", where, f"is a {shape.get('name')}, which has no area or too few numbers: it is left out")
    return None
