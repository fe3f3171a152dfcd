"""Where each position of a resized axis reads, and with which weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np

ResizeMethod = Literal["nearest", "nearest-exact", "bilinear", "bicubic", "area"]
_MOST_BANDS = 64
"""Slices that a sum of them is read from, at most, before gathers are taken."""


@dataclass(frozen=True, eq=False)
class Taps:
    """Where each output position of one axis reads: `out[o] = sum over t of weight[t, o] * in[index[t, o]]`."""

    index: np.ndarray  # -1 where a position reads fewer than the most
    weight: np.ndarray
    size: int  # of the input axis
    linear: Literal["half_pixel", "align_corners"] | None = None
    """Where it is bilinear, whether corners of the image or centres of corner pixels coincide."""

    @cached_property
    def transposed(self) -> "Taps":
        """Where the gradient of each input position reads among the outputs."""
        out = self.index.shape[1]
        entry, which = np.unique(self.index * out + np.arange(out), return_inverse=True)
        weight = np.bincount(which.ravel(), self.weight.ravel())
        source, reader = np.divmod(entry[weight != 0], out)
        count = np.bincount(source, minlength=self.size)
        start = np.cumsum(count) - count
        index, weights = np.full((count.max(), self.size), -1), np.zeros((count.max(), self.size))
        rank = np.arange(len(source)) - start[source]
        index[rank, source], weights[rank, source] = reader, weight[weight != 0]
        return Taps(index, weights, out)

    @property
    def repeats(self) -> bool:
        """Whether each input position is copied to the same number of outputs, in order."""
        taps, out = self.index.shape
        return (
            taps == 1 and out % self.size == 0 and bool((self.index[0] == np.arange(out) // (out // self.size)).all())
        )

    @cached_property
    def bands(self) -> dict[tuple[int, int], np.ndarray] | None:
        """The weights by phase (of several outputs an input) and by how far from its own place a position reads.

        None where the axis does not grow or shrink by a whole factor, where these are many, and where some position
        reads what others like it do not, so that a zero would meet an infinity.
        """
        out = self.index.shape[1]
        grows, shrinks = out % self.size == 0, self.size % out == 0
        if not (grows or shrinks):
            return None
        count = max(1, out // self.size)
        place, phase = np.divmod(np.arange(out), count)
        bands: dict[tuple[int, int], np.ndarray] = {}
        for index, weight in zip(self.index, self.weight, strict=True):
            for o in np.flatnonzero((index >= 0) & (weight != 0)):
                at = int(index[o] - place[o] * max(1, self.size // out))
                bands.setdefault((int(phase[o]), at), np.zeros(out // count))[place[o]] += weight[o]
        read = np.arange(out // count) * max(1, self.size // out)
        everywhere = all(
            ((weight != 0) == ((read + at >= 0) & (read + at < self.size))).all() for (_, at), weight in bands.items()
        )
        phases = {phase for phase, _ in bands}
        return (
            dict(sorted(bands.items())) if everywhere and len(phases) == count and len(bands) <= _MOST_BANDS else None
        )

    @property
    def averages(self) -> bool:
        """Whether each output position is the mean of as many neighbours, and each input position is of one mean."""
        taps, out = self.index.shape
        return (
            taps * out == self.size
            and bool((self.index.T.ravel() == np.arange(self.size)).all())
            and bool((self.weight == 1 / taps).all())
        )


@lru_cache(maxsize=256)
def taps_of(size: int, out: int, method: ResizeMethod, align_corners: bool, dtype: np.dtype) -> Taps:
    """Of an axis of `size` resized to `out`, with weights of that dtype."""
    position = np.arange(out)
    if method == "area":
        first, last = position * size // out, -(-(position + 1) * size // out)
        index = first + np.arange((last - first).max())[:, None]
        return Taps(np.where(index < last, index, -1), (index < last) / (last - first), size)
    if method in ("nearest", "nearest-exact"):
        # torch scales in float32 whatever the dtype, and is off by one pixel in places because of it (29 of 64 x 64).
        centre = np.float32(0.5 if method == "nearest-exact" else 0)
        source = (position.astype(np.float32) + centre) * (np.float32(size) / np.float32(out))
        index = np.minimum(np.floor(source).astype(int), size - 1)
        return Taps(index[None], np.ones((1, out)), size)

    # The source position, like torch's, is rounded to the dtype of the sum, once (a fused multiply-add): weights made
    # in float64 would differ from its own by more than 1e-6.
    real = np.float64 if dtype == np.float64 else np.float32
    if align_corners:
        scale, shift = np.float64(real(size - 1) / real(max(out - 1, 1))), 0.0
    else:
        scale, shift = np.float64(real(size) / real(out)), 0.5
    source = _rounded((position + shift) * scale - shift, real)
    if method == "bilinear":
        source = np.maximum(source, 0)
    floor = np.floor(source)
    t = source - floor
    if method == "bilinear":
        offset, weight = np.arange(2), np.stack([1 - t, t])
    else:
        s = _rounded(1 - t, real)
        far, near = (-0.75, 3.75, -6.0, 3.0), (1.25, -2.25, 0.0, 1.0)  # of the distance, cubic coefficient first
        pieces = ((far, 1 + t), (near, t), (near, s), (far, 1 + s))
        offset, weight = np.arange(-1, 3), np.stack([_polynomial(c, _rounded(d, real), real) for c, d in pieces])
    index = np.clip(floor.astype(int) + offset[:, None], 0, size - 1)
    used = weight.any(axis=1)  # one tap alone, where the size stays
    linear = ("align_corners" if align_corners else "half_pixel") if method == "bilinear" else None
    return Taps(index[used], weight[used], size, linear)


def _rounded(value: np.ndarray, real: type[np.floating]) -> np.ndarray:
    return value.astype(real).astype(np.float64)


def _polynomial(coefficients: Sequence[float], x: np.ndarray, real: type[np.floating]) -> np.ndarray:
    """Horner's rule, rounded after each fused multiply-add as torch's cubic weights are."""
    value = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = _rounded(value * x + coefficient, real)
    return value
