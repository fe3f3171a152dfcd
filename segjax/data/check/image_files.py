"""What checking finds out about image files beside their masks: bands, frames of reference, pixels without data."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Num

from segjax.data.check.mask_report import Seen
from segjax.data.formats.bands import NAMES_FILE, Bands, display_range, miscounted
from segjax.data.formats.images import shown
from segjax.data.formats.layouts import FoundImages, ImageAndMask
from segjax.data.formats.opened import stored_orientation
from segjax.data.formats.problems import Problem
from segjax.data.formats.rasters import Depth, Raster
from segjax.data.statistics import pooled
from segjax.errors import DataError, counted


def mean_and_deviation(
    image: Num[np.ndarray, "h w c"], missing: Bool[np.ndarray, "h w"] | None
) -> list[Float64[np.ndarray, " c"]]:
    """Of every band, over the pixels that have data."""
    there = None if missing is None else (~missing).astype(np.uint8)
    if image.shape[2] <= 4:  # what OpenCV takes at once
        return [part.ravel() for part in cv2.meanStdDev(image, mask=there)]
    of_bands = [cv2.meanStdDev(np.ascontiguousarray(band), mask=there) for band in np.moveaxis(image, 2, 0)]
    return [np.array([pair[which].item() for pair in of_bands]) for which in (0, 1)]


def doubts(pair: ImageAndMask, image: Raster, chosen: tuple[int, ...] | None) -> Iterator[Problem]:
    """What an image file says in a way that may be meant otherwise."""
    name = shown(pair.image)
    if image.odd_alpha and chosen is None:
        sentence = (
            f"{name} calls its last band opacity, and it has many values: it is left out; if it is a band of its own, "
            "as near infrared, take it by --bands."
        )
        yield Problem("opacity", "warning", name, sentence)
    if (turned := image.orientation) != (of_mask := stored_orientation(pair.mask) if image.orientation != 1 else 1):
        sentence = (
            f"{name} is turned by its EXIF orientation ({turned}) and its mask {shown(pair.mask)} by {of_mask}: "
            "nothing says on which of both the mask was drawn; look at the examples, and save both upright."
        )
        yield Problem("turned", "warning", name, sentence)


def bands_of(found: FoundImages, seen: Sequence[Seen], names: tuple[str, ...], chosen: tuple[int, ...] | None) -> Bands:
    """What most images are; those that are not are errors."""
    read = [one for one in seen if one.size]
    if not read:
        return Bands()
    kinds: Counter[tuple[Depth, int]] = Counter((one.depth, len(one.mean)) for one in read)
    (depth, count), _ = kinds.most_common(1)[0]
    if chosen is not None and max(chosen) <= len(names):
        names = tuple(names[number - 1] for number in chosen)
    elif wrong := miscounted(names, count):
        found.error("bands", found.root / NAMES_FILE, wrong)
        names = ()
    alike = [one for one in read if (one.depth, len(one.mean)) == (depth, count)]
    pixels = np.array([math.prod(one.size or ()) - one.missing for one in alike])
    if not pixels.any():
        return Bands(depth, count, chosen, names, channels=found.channels)
    means, stds = np.array([one.mean for one in alike]), np.array([one.std for one in alike])
    whole = pooled(means, stds, pixels, depth)
    low, high = display_range(whole.mean, whole.std, depth)
    bands = Bands(depth, count, chosen, names, low, high, found.channels)
    found.problems.extend(others(bands, ((one.pair.image, one.depth, len(one.mean)) for one in read)))
    return bands


def others(bands: Bands, images: Iterable[tuple[Path, Depth, int]]) -> Iterator[Problem]:
    """An error for each image whose depth or number of bands is another than the set's."""
    for path, depth, count in images:
        try:
            bands.refuse_others(np.empty((1, 1, count), depth), shown(path))
        except DataError as error:
            yield Problem("bands", "error", shown(path), str(error))


def note_frames_and_gaps(found: FoundImages, seen: Sequence[Seen]) -> None:
    """Say of all images together what training would otherwise not say."""
    turned = sum(any(problem.kind == "turned" for problem in one.problems) for one in seen)
    if turned:
        found.notes.append(
            f"EXIF turns {counted(turned, 'image')} and not the masks: nothing says on which the masks were drawn."
        )
    gaps = [one for one in seen if one.missing]
    if gaps:
        share = sum(one.missing for one in gaps) / sum(math.prod(one.size or ()) for one in seen)
        found.notes.append(
            f"Pixels without data are in {counted(len(gaps), 'image')} ({share:.1%} of all): they neither train nor "
            "score."
        )
