"""What labelling tools leave, as annotations: labelme, VIA, Label Studio, Labelbox, Supervisely and YOLO."""

import itertools
from pathlib import Path
from typing import Any

from segjax.data.formats.annotations import Annotations
from segjax.data.formats.json_files import read_json, read_json_lines
from segjax.data.formats.opened import matching
from segjax.data.formats.tools import label_studio, labelbox, labelme, supervisely, via, yolo
from segjax.data.formats.tools.marks import Reading

__all__ = ["read_labelled"]

_MOST = 200_000
"""Files that are looked at below a folder."""


def read_labelled(root: Path) -> tuple[str, dict[str, Annotations]] | None:
    """The tool, and its annotations by split ("" where nothing says one); None where it is none that is known.

    Raises:
        DataError: a file of such a tool cannot be read at all.
    """
    reading = _read(root)
    return None if reading is None else (reading.tool, reading.annotations())


def _read(root: Path) -> Reading | None:
    if root.is_dir() and (reading := yolo.read(root)):
        return reading
    folder = root if root.is_dir() else root.parent
    below = matching(root, "**/*.json", "**/*.ndjson")
    paths = sorted(itertools.islice(below, _MOST)) if root.is_dir() else [root] * root.is_file()
    files = {path: _without_pixels(_content(path)) for path in paths if path.name != "meta.json"}
    readings = [
        reading for tool in (supervisely, labelme, via, labelbox, label_studio) if (reading := tool.read(folder, files))
    ]
    for other in readings[1:]:
        found, first = readings[0].found, readings[0].tool
        found.error("second tool", "", f"has files of {first} and of {other.tool}: put those of one of them elsewhere")
    return readings[0] if readings else None


def _content(path: Path) -> Any:
    """What a file of JSON holds, or of NDJSON as a list of its lines."""
    return read_json_lines(path) if path.suffix.lower() == ".ndjson" else read_json(path)


def _without_pixels(data: Any) -> Any:
    """A file's content without the image that labelme puts into it: all files together would not fit in memory."""
    if isinstance(data, dict):
        data.pop("imageData", None)
    return data
