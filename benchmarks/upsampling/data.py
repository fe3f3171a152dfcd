"""The data sets of the benchmark by name, and what training and scoring want to know of one."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from segjax.data import (
    IGNORE,
    Dataset,
    Record,
    Source,
    camvid,
    folder,
    islands,
    land_cover,
    nuclei,
    oxford_iiit_pet,
    tfds_dataset,
)
from segjax.data.statistics import measure, spread
from segjax.errors import DataError

SAMPLE = 200
"""Training records from which mean, standard deviation and crop are worked out."""
PROBES = 32
"""Test tiles whose logits are looked at for checkerboards."""
SHOWN = 3
"""Of those, how many are shown in the report."""


@dataclass(frozen=True)
class Data:
    """A data set, opened."""

    name: str
    dataset: Dataset
    train: Source
    test: Source
    side: int
    """Height and width of what the network is trained on and timed with, unless the settings say otherwise."""
    flip_vertical: bool
    """Whether the pictures have no upper side."""
    gamma: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of the training images in 0..1 after gamma, by channel."""
    class_weights: tuple[float, ...]
    """By median frequency (Eigen and Fergus 2015), as SegNet is trained: rare classes are learned in few steps too."""
    probes: UInt8[np.ndarray, "n side side c"]
    """Squares of test images, spread evenly over the split."""
    probe_masks: UInt8[np.ndarray, "n side side"]
    shown: tuple[int, ...]
    """Probes with many classes and clear boundaries between them."""

    @property
    def num_classes(self) -> int:
        """How many classes the mask has."""
        return len(self.dataset.class_names)


def dataset_of(name: str) -> Dataset:
    """The data set: land_cover_4, land_cover_7, islands, nuclei, camvid, tfds:NAME[:class,...], or a folder's.

    Nothing is opened but a folder, which is checked. Raises DataError where there is none of that name.
    """
    if name in ("land_cover_4", "land_cover_7"):
        return land_cover(groups=4 if name.endswith("4") else 7)
    if name == "nuclei":
        return nuclei()
    if name == "camvid":
        return camvid()
    if name == "islands":
        return _without_boxes(islands("one"))
    if name.startswith("tfds:"):
        _, builder, *classes = name.split(":")
        if builder == "oxford_iiit_pet" and not classes:
            return oxford_iiit_pet()
        if not classes:
            raise DataError(f"{name} does not say its classes: name them as in {name}:background,object.")
        return tfds_dataset(builder, classes[0].split(","))
    if Path(name).is_dir():
        return folder(name)
    raise DataError(
        f"{name} is no data set: take land_cover_4, land_cover_7, islands, nuclei, camvid, tfds:NAME:classes, or a "
        "folder."
    )


def slug(name: str) -> str:
    """The data set's name, fit for a file."""
    return re.sub(r"\W+", "_", Path(name).name if Path(name).is_dir() else name)


@cache
def load(name: str) -> Data:
    """Open both splits and look at some of the records; once in a process."""
    dataset = dataset_of(name)
    train, test = dataset.open("train"), dataset.open("test")
    from_space = name.startswith("land_cover") or name == "islands"
    gamma = 0.5 if from_space else 1.0  # these images are dark
    measured = measure(train, len(dataset.class_names), gamma=gamma, most=SAMPLE)
    side = measured.crop
    found = [test[int(i)] for i in spread(len(test), PROBES)]
    squares = [record for record in found if min(record["image"].shape[:2]) >= side]
    if not squares:
        raise DataError(f"{name}: none of its test images is as large as the training crops of {side}x{side}.")
    masks = np.stack([_mask(record)[:side, :side] for record in squares])
    return Data(
        name=slug(name),
        dataset=dataset,
        train=train,
        test=test,
        side=side,
        flip_vertical=from_space,
        gamma=gamma,
        mean=_rounded(measured.images.mean),
        std=_rounded(measured.images.std),
        class_weights=_rounded(measured.class_weights),
        probes=np.stack([record["image"][:side, :side] for record in squares]),
        probe_masks=masks,
        shown=tuple(sorted(range(len(masks)), key=lambda i: _unclear(masks[i]))[:SHOWN]),
    )


@dataclass(frozen=True)
class _Masked:
    """Records of which only image and mask are left."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self.source[index]
        return Record(image=record["image"], mask=_mask(record))


def _without_boxes(dataset: Dataset) -> Dataset:
    """The same with its mask alone, whose class 0 is what is none of the objects."""
    open_split: Callable[[str], Source] = dataset.open
    return Dataset(
        dataset.name,
        ("background", *dataset.class_names),
        ((40, 40, 60), *dataset.palette),
        lambda split: _Masked(open_split(split)),
    )


def _mask(record: Record) -> UInt8[np.ndarray, "h w"]:
    if "mask" not in record:
        raise DataError("A record has no mask: the benchmark needs a set for segmentation.")
    return record["mask"]


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 3) for value in values)


def _unclear(mask: UInt8[np.ndarray, "h w"]) -> tuple[int, int]:
    """Sorts pictures with more classes of a twentieth of the pixels first, and of those the ones with less boundary."""
    counts = np.bincount(mask[mask != IGNORE], minlength=1)
    changes = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    return -int((counts >= mask.size / 20).sum()), int(changes)
