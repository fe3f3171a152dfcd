"""Label Studio's export as JSON: a list of tasks, with results in shares of an image of 100 by 100."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np
from jaxtyping import Bool

from segjax.data.formats.annotations import Annotations, is_number, known_size
from segjax.data.formats.images import shown
from segjax.data.formats.tools.marks import (
    ImagesBelow,
    Labelled,
    Mark,
    Reading,
    bitmap,
    by_folder,
    ellipse,
    listed,
    pairs,
    polygon,
    rectangle,
)

_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What is put before the name of an image that is uploaded."""


def read(root: Path, files: dict[Path, Any]) -> Reading | None:
    """Read JSON and JSON-MIN: what has an area, of the first annotation that was not cancelled.

    A task without one is left out: nobody has said that there is nothing in its image.
    """
    found, below = Annotations(root, ()), ImagesBelow(root)
    images, understood = [], False
    for path, data in files.items():
        if isinstance(data, list) and data and all(_is_task(one) for one in data):
            understood = True
            for number, task in enumerate(data):
                where = f"/{shown(path.relative_to(root))} task {task.get('id', number)}"
                if image := _image(found, below, where, task, path.parent):
                    images.append(image)
    return Reading("Label Studio", found, by_folder(root, images)) if understood else None


def _is_task(one: Any) -> bool:
    return isinstance(one, dict) and (
        (isinstance(one.get("annotations"), list) and isinstance(one.get("data"), dict))
        or ("lead_time" in one and _name(one) != "")
    )


def _image(found: Annotations, below: ImagesBelow, where: str, task: dict[str, Any], folder: Path) -> Labelled | None:
    results = _results(found, where, task)
    if results is None:
        found.warn("not labelled", where, "has no annotation that was not cancelled: its image is left out")
        return None
    said = _name(task.get("data", task))
    above, _, name = said.rpartition("/")
    path = below.find(said, folder) or below.find(f"{above}/{_UPLOADED.sub('', name)}", folder)
    if path is None:
        found.error(
            "absent file",
            where,
            f"is of the image '{shown(name)}', which is not below {shown(found.source)}: copy it there",
        )
        return None
    size, marks = None, []
    for number, (result, value) in enumerate(results):
        labels = next((value[key] for key in _LABELS if isinstance(value.get(key), list) and value[key]), None)
        here = f"{where} result {number}"
        if labels is None:  # a relation, a choice, a text
            continue
        known = known_size(result.get("original_height"), result.get("original_width"))
        if known is None:
            found.error("size", here, "has no `original_height` and `original_width`: export it again")
            continue
        if turned := result.get("image_rotation"):
            found.warn("turned", here, f"was drawn on the image turned by {turned} degrees: look whether it fits")
        size = known
        if mark := _mark(found, here, value, str(labels[0]), size):
            marks.append(mark)
    return Labelled(path, size, marks)


def _name(data: dict[str, Any]) -> str:
    """The path of the image among a task's data: a value that ends as images do, also within an address."""
    for value in data.values():
        if isinstance(value, str):
            query = parse_qs(urlparse(value).query)
            path = (
                query["d"][0] if "d" in query else urlparse(value).path
            )  # a file of local storage is an address's `d`
            if re.search(r"\.(png|jpe?g|webp|tiff?|bmp|gif|npy|npz|pgm|ppm)$", path, re.IGNORECASE):
                return unquote(path)
    return ""


def _results(
    found: Annotations, where: str, task: dict[str, Any]
) -> list[tuple[dict[str, Any], dict[str, Any]]] | None:
    """Results, and the value of each; None where nobody has labelled the image."""
    if "annotations" not in task:
        rows = [one for value in task.values() if isinstance(value, list) for one in value]
        return [(one, one) for one in rows if isinstance(one, dict)]
    kept = [one for one in task["annotations"] or () if isinstance(one, dict) and not one.get("was_cancelled")]
    if not kept:
        return None
    rows = listed(found, where, kept[0], "result")  # null where nothing was drawn
    return [(one, one["value"]) for one in rows if isinstance(one, dict) and isinstance(one.get("value"), dict)]


def _mark(found: Annotations, where: str, value: dict[str, Any], label: str, size: tuple[int, int]) -> Mark | None:
    height, width = size
    numbers = {name: float(number) for name, number in value.items() if is_number(number)}
    across, down = width / 100, height / 100
    match numbers:
        case _ if points := pairs(value.get("points")):
            return polygon(label, where, [(x * across, y * down) for x, y in points])
        case {"x": x, "y": y, "radiusX": right, "radiusY": below, **rest}:
            turned = np.deg2rad(rest.get("rotation", 0.0))
            return ellipse(label, where, x * across, y * down, right * across, below * down, turned)
        case {"x": x, "y": y, "width": w, "height": h, **rest}:
            return rectangle(label, where, x * across, y * down, w * across, h * down, rest.get("rotation", 0.0))
    if value.get("format") == "rle" and isinstance(value.get("rle"), list):
        inside = unpacked(value["rle"], size)
        if inside is not None:
            return bitmap(label, where, inside, 0, 0, size)
        found.error("outline", where, f"has run lengths that are not those of {width}x{height} pixels: export it again")
    else:
        found.warn("outline", where, "has no area: it is left out")
    return None


def unpacked(packed: list[int], size: tuple[int, int]) -> Bool[np.ndarray, "h w"] | None:
    """The pixels that a brush painted; None where the run lengths are no bytes, or of another size.

    A stream of bits: 32 for the count of values, 5 for their bits less one, 4 times 4 for the bits less one of the four
    sorts of lengths; then runs: a bit that says whether one value follows for all, 2 for the sort of length, the length
    less one, and the value or values. The values are the four channels of the pixels, of which opacity comes last.
    """
    if not all(type(byte) is int and 0 <= byte < 256 for byte in packed):
        return None
    bits, place = np.unpackbits(np.array(packed, np.uint8)), 0

    def number(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise EOFError
        place += count
        return int("".join(map(str, bits[place - count : place])), 2)

    try:
        total, depth = number(32), number(5) + 1
        lengths = [number(4) + 1 for _ in range(4)]
        if total != 4 * size[0] * size[1]:
            return None
        values, filled = np.zeros(total, np.uint8), 0
        while filled < total:
            same, length = number(1), number(lengths[number(2)]) + 1
            if filled + length > total:
                return None
            values[filled : filled + length] = number(depth) if same else [number(depth) for _ in range(length)]
            filled += length
    except (EOFError, OverflowError):
        return None
    return values.reshape(*size, 4)[..., 3] > 0
