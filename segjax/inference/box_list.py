"""Boxes found in images or frames as a file of COCO's format."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from segjax.data.formats.images import shown
from segjax.errors import InferenceError
from segjax.inference.found import Objects
from segjax.inference.outputs import replacing
from segjax.ops.boxes import Detections
from segjax.strict_json import as_json


class BoxList:
    """The lists of COCO's format: class k has the category k + 1, and an annotation a `score` and its attributes'."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(
        self, size: tuple[int, int], found: Detections, tracks: Int[np.ndarray, " d"] | None = None, **image: Any
    ) -> None:
        """The next image, its height and width and what else there is to say of it, with its objects.

        With `tracks` an object has its own as its `track_id`, where that is not 0.
        """
        number, (height, width) = len(self.images) + 1, size
        self.images.append({"id": number, **image, "height": height, "width": width})
        exact = np.asarray(found.boxes, np.float64).tolist()
        for i, (row, (_, _, wide, high)) in enumerate(zip(self._objects.rows(found), exact, strict=True)):
            annotation: dict[str, Any] = {
                "id": len(self.annotations) + 1,
                "image_id": number,
                "category_id": row["label"] + 1,
                "bbox": row["box"],
                "area": round(wide * high, 2),
                "iscrowd": 0,
                "score": row["score"],
            }
            if tracks is not None and tracks[i]:
                annotation["track_id"] = int(tracks[i])
            self.annotations.append(annotation | {name: row[name] for name in ("attributes",) if name in row})

    def write(self, path: Path) -> None:
        """Write the file.

        Raises:
            InferenceError: it cannot be written.
        """
        categories = [{"id": number, "name": name} for number, name in enumerate(self._objects.class_names, start=1)]
        write_json(path, {"images": self.images, "categories": categories, "annotations": self.annotations})


def write_json(path: Path, content: Any) -> None:
    """Write what JSON can hold.

    Raises:
        InferenceError: the file cannot be written.
    """
    try:
        with replacing(path) as file:
            file.write(as_json(content, indent=1).encode())
    except OSError as error:
        raise InferenceError(
            f"{shown(path)} cannot be written ({error.strerror or error}): make room, or give --out a folder of yours."
        ) from error
