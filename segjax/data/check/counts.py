"""How many pixels of masks have each number, kept for the numbers that are there: of 65,535 few are in a mask."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64, UInt

from segjax.mask_numbers import MOST_CLASSES, ignored


class Counts(NamedTuple):
    """The pixels of a mask by their number."""

    numbers: Int64[np.ndarray, " m"]
    """Those that are there, ascending."""
    pixels: Int64[np.ndarray, "*k m"]
    """How many have each, of each label where they may overlap."""

    def dense(self, size: int) -> Int64[np.ndarray, "*k {size}"]:
        """How many have each number below `size`."""
        counts = np.zeros((*self.pixels.shape[:-1], size), np.int64)
        below = self.numbers < size
        counts[..., self.numbers[below]] = self.pixels[..., below]
        return counts

    def of(self, number: int) -> int:
        """How many have that number, of all labels together."""
        return int(self.pixels[..., self.numbers == number].sum())

    def meant(self, levels: UInt[np.ndarray, " n"] | None, num_classes: int) -> "Counts":
        """As classes, by what each number stands for, and what is ignored as masks of so many classes have it."""
        numbers = np.where(self.numbers == MOST_CLASSES, ignored(num_classes), self.numbers)
        if levels is not None:
            here = numbers < len(levels)
            numbers[here] = levels[numbers[here]]
        return self.renumbered(numbers)

    def renumbered(self, numbers: Int[np.ndarray, " m"]) -> "Counts":
        """The same, each of `self.numbers` being another, or several the same."""
        there, place = np.unique(numbers, return_inverse=True)
        pixels = np.zeros((len(there), *self.pixels.shape[:-1]), np.int64)
        np.add.at(pixels, place, self.pixels.T)
        return Counts(there.astype(np.int64), pixels.T)


def no_counts(labels: int = 0) -> Counts:
    """Of nothing, or of so many labels that may overlap."""
    return Counts(np.zeros(0, np.int64), np.zeros((labels, 0) if labels else 0, np.int64))


def count_numbers(mask: UInt[np.ndarray, "h w"]) -> Counts:
    """Count every number of a mask."""
    # In pieces: bincount makes eight bytes of every pixel.
    pieces = np.array_split(mask.ravel(), max(1, math.ceil(mask.size / 2**22)))
    counts = sum(np.bincount(piece, minlength=np.iinfo(mask.dtype).max + 1) for piece in pieces)
    numbers = np.flatnonzero(counts)
    return Counts(numbers, np.asarray(counts)[numbers])


def count_labels(masks: UInt[np.ndarray, "h w k"]) -> Counts:
    """Count every number of the masks of labels that may overlap."""
    return _stacked([count_numbers(masks[..., label]) for label in range(masks.shape[-1])])


def added_up(counts: Sequence[Counts]) -> Counts:
    """All of them together."""
    if not counts:
        return no_counts()
    joined = Counts(
        np.concatenate([one.numbers for one in counts]), np.concatenate([one.pixels for one in counts], axis=-1)
    )
    return joined.renumbered(joined.numbers)


def _stacked(counts: Sequence[Counts]) -> Counts:
    numbers = np.unique(np.concatenate([one.numbers for one in counts]))
    size = int(numbers.max(initial=-1)) + 1
    return Counts(numbers, np.stack([one.dense(size)[numbers] for one in counts]))
