"""What training wants to know of images and masks: normalisation, crop and class weights."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int64

from segjax.data.checked import checked
from segjax.data.formats.rasters import WHITE, Depth, depth_of
from segjax.data.record import Record, Source
from segjax.errors import DataError

CROPS = (32, 256)
"""The smallest and the largest side of crops; all are multiples of the smallest."""
MOST_WEIGHT = 10.0


@dataclass(frozen=True)
class Statistics:
    """What `segjax.layers.Normalized` takes.

    Examples:
        >>> data.Statistics(mean=(0.5,) * 3, std=(0.25,) * 3).depth
        'uint8'
    """

    mean: tuple[float, ...]
    """Of every channel of the images, in the stored numbers over `WHITE` of their depth, after gamma."""
    std: tuple[float, ...]
    gamma: float = 1.0
    """Exponent that the images are brightened by first: below 1 for dark ones."""
    depth: Depth = "uint8"
    """The numbers that the images are stored in."""


@dataclass(frozen=True)
class SourceStatistics:
    """What was measured of a source with masks."""

    images: Statistics
    crop: int
    class_weights: tuple[float, ...]


def measure(source: Source, num_classes: int, *, gamma: float = 1.0, most: int = 200) -> SourceStatistics:
    """Read up to `most` records, spread evenly, and work out normalisation, crop and class weights.

    Raises:
        DataError: A record cannot be read or has no mask.
    """
    records = [checked(source)[int(i)] for i in spread(len(source), most)]
    if any("mask" not in record for record in records):
        raise DataError("A record has no mask: choose a data set for segmentation.")
    depth = _depth(records)
    white = WHITE[depth]
    images = [(record["image"].reshape(-1, record["image"].shape[-1]) / white) ** gamma for record in records]
    counts = (np.bincount(record["mask"].ravel(), minlength=num_classes)[:num_classes] for record in records)
    sizes = np.array([record["image"].shape[:2] for record in records])
    means, stds = np.array([image.mean(0) for image in images]), np.array([image.std(0) for image in images])
    return SourceStatistics(
        pooled(means, stds, sizes.prod(axis=1), depth, gamma),
        training_crop(sizes),
        median_frequency_weights(counts),
    )


def _depth(records: list[Record]) -> Depth:
    depths: set[Depth] = {depth_of(record["image"]) for record in records}
    if len(depths) > 1:
        raise DataError(f"The images of the source have the types {' and '.join(sorted(depths))}: save all as one.")
    return depths.pop()


def spread(size: int, count: int) -> Int64[np.ndarray, " k"]:
    """Up to `count` numbers of records, spread evenly over all of `size`."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).round().astype(int))


def pooled(
    mean: Float[np.ndarray, "n c"],
    std: Float[np.ndarray, "n c"],
    pixels: Int[np.ndarray, " n"],
    depth: Depth = "uint8",
    gamma: float = 1.0,
) -> Statistics:
    """The statistics of all images together, from those of every one and how many pixels it has."""
    of_all = np.average(mean, axis=0, weights=pixels)
    square = np.average(std**2 + mean**2, axis=0, weights=pixels)
    deviation = np.sqrt(np.maximum(square - of_all**2, 0))
    # One step of what is stored, at least; a band of one value has no deviation to speak of.
    least = 1 / WHITE[depth] if depth != "float32" else np.where(deviation > 0, 0, 1)
    return Statistics(tuple(of_all.tolist()), tuple(np.maximum(deviation, least).tolist()), gamma, depth)


def training_crop(sizes: Int[np.ndarray, "n 2"]) -> int:
    """Height and width of training crops: the median shorter side, down to a multiple of 32 in 32 to 256."""
    least, most = CROPS
    return min(max(int(np.median(sizes.min(axis=1))) // least * least, least), most)


def median_frequency_weights(counts: Iterable[Int[np.ndarray, " k"]]) -> tuple[float, ...]:
    """Weights of classes (Eigen and Fergus, 2015) by the pixels that each mask has of each; at most 10, 1 for no pixel.

    A class's frequency is its share of the pixels of those masks that have it at all: it is not rare for being in few.
    """
    seen = around = np.zeros(1, np.int64)
    for of_mask in counts:  # one at a time: of many masks and classes together they would be gigabytes
        seen = seen + of_mask
        around = around + of_mask.sum() * (of_mask > 0)
    frequency = seen[seen > 0] / around[seen > 0]
    weights = np.ones(len(seen))
    weights[seen > 0] = np.minimum(np.median(frequency) / frequency, MOST_WEIGHT)
    return tuple(weights.tolist())


def positive_weights(counts: Int[np.ndarray, "k 2"]) -> tuple[float, ...]:
    """For each label that may overlap others, the pixels without it for each with it; in 1 to 10, and 1 for none."""
    without, having = counts[:, 0], counts[:, 1]
    weights = np.where(having > 0, without / np.maximum(having, 1), 1)
    return tuple(np.clip(weights, 1, MOST_WEIGHT).tolist())
