"""Any set of boxes of TensorFlow Datasets by its name, prepared and read without TensorFlow."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segjax.data.dataset import Dataset
from segjax.data.formats.classes import bright_palette
from segjax.data.formats.images import read_image
from segjax.data.formats.tfds import Examples, choose_image, open_builder, prepare, read_split
from segjax.data.record import Record, refuse_unknown_split
from segjax.errors import DataError

CROWD_KEYS = ("is_crowd", "is_difficult", "invalid")
"""What COCO, Pascal VOC and WIDER FACE call objects that neither train nor score."""


def tfds_boxes(
    name: str,
    class_names: Sequence[str],
    *,
    train: str = "train",
    test: str = "test",
    val: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
) -> Dataset:
    """Make a data set of one in TensorFlow Datasets; the first `open` downloads and prepares it where it is missing.

    It has one sequence of features with a `BBoxFeature`, and a `ClassLabel` in it where there are several classes.
    Empty boxes are left out; what is `is_crowd`, `is_difficult` or `invalid` becomes crowd.

    Args:
        name: as `tfds.builder` takes it, with config and version where there are several: "coco/2017", "voc/2012".
        class_names: of the classes, in the order of their numbers.
        train: the split to train on, in the notation of TFDS: "train[:80%]".
        test: the split to score at the end.
        val: the split to score while training; by default "validation" where there is one that does not test, or else
            the last tenth of what trains.
        data_dir: where TFDS keeps its sets; by default `TFDS_DATA_DIR`, or tensorflow_datasets in the home folder.
        download: False refuses what is not prepared yet.

    Raises:
        DataError: on opening: there is no such set, it has no boxes, it cannot be had, or only TensorFlow prepares it.
    """

    def open_split(split: str) -> TfdsBoxSource:
        refuse_unknown_split(name, split)
        builder = open_builder(name, data_dir)
        image = choose_image(builder, None, "image", 3)
        objects, keys = _box_features(builder)
        prepare(builder, download)
        examples = read_split(builder, split, train, val, test)
        return TfdsBoxSource(examples, name, image, objects, keys, len(class_names))

    return Dataset(name, tuple(class_names), bright_palette(len(class_names)), open_split)


@dataclass(frozen=True)
class _Keys:
    """What the features of an object are called; None where there is none."""

    box: str
    label: str | None
    crowd: tuple[str, ...]


@dataclass(frozen=True)
class TfdsBoxSource:
    """Examples of a prepared set, decoded when they are asked for."""

    worth_keeping: ClassVar[bool] = True
    examples: Examples
    name: str
    image_key: str
    objects_key: str
    keys: _Keys
    num_classes: int

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self.examples)

    def stored_jpeg(self, index: int) -> bytes:
        """The file of an image, which may be no JPEG."""
        return self.examples[index][self.image_key]

    def __getitem__(self, index: int) -> Record:
        """Decode one example.

        Raises:
            DataError: its image is damaged, or a label has no class.
        """
        index = range(len(self))[index]  # counts from the end below zero, and ends a loop with IndexError
        example, name = self.examples[index], f"{self.name} example {index}"
        image = read_image(f"{name} ({self.image_key})", data=example[self.image_key])
        objects = example[self.objects_key]
        height, width = image.shape[:2]
        # TFDS has ymin, xmin, ymax, xmax as shares of the image.
        corners = np.asarray(objects[self.keys.box], np.float32).reshape(-1, 4)[:, [1, 0, 3, 2]].clip(0, 1)
        corners = corners * np.array([width, height, width, height], np.float32)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
        labels = np.asarray(objects[self.keys.label] if self.keys.label else np.zeros(len(boxes)), np.int32)
        crowd = np.zeros(len(boxes), bool)
        for key in self.keys.crowd:
            crowd |= np.asarray(objects[key], bool)
        kept = (boxes[:, 2:] > 0).all(axis=1)
        if (labels[kept] >= self.num_classes).any() or (labels[kept] < 0).any():
            raise DataError(
                f"{name} has the label {labels[kept].max()} and only {self.num_classes} classes have names: name all."
            )
        return {"image": image, "boxes": boxes[kept], "labels": labels[kept], "crowd": crowd[kept]}


def _box_features(builder: Any) -> tuple[str, _Keys]:
    """The sequence of objects and what is what in it."""
    import tensorflow_datasets as tfds

    found = []
    for name, feature in builder.info.features.items():
        inner = getattr(feature, "feature", None)
        if not isinstance(feature, tfds.features.Sequence) or not isinstance(inner, tfds.features.FeaturesDict):
            continue
        boxes = [key for key, one in inner.items() if isinstance(one, tfds.features.BBoxFeature)]
        labels = [key for key, one in inner.items() if isinstance(one, tfds.features.ClassLabel)]
        crowd = tuple(key for key in CROWD_KEYS if key in inner)
        if len(boxes) == 1:
            # Some sets have labels of other things too, such as poses.
            label = "label" if "label" in labels else labels[0] if len(labels) == 1 else None
            found.append((name, _Keys(boxes[0], label, crowd)))
    if len(found) != 1:
        raise DataError(
            f"{builder.name} has {len(found)} sequences of objects with one box each: choose a set for detection."
        )
    return found[0]
