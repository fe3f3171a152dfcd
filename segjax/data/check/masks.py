"""Read a whole folder of images and masks and find everything that is wrong with it at once."""

import itertools
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from segjax.cores import usable_cores
from segjax.data.check.class_numbers import check_numbers, meaning_of_numbers
from segjax.data.check.counts import added_up, count_labels, count_numbers, no_counts
from segjax.data.check.image_files import bands_of, doubts, mean_and_deviation, note_frames_and_gaps
from segjax.data.check.label_bands import check_labels, meaning_of_labels
from segjax.data.check.mask_examples import draw_examples
from segjax.data.check.mask_report import Report, Seen
from segjax.data.check.report import duplicates
from segjax.data.formats.bands import Bands, choose, read_names
from segjax.data.formats.channels import read_channels
from segjax.data.formats.classes import ClassList, misnamed, numbered_classes
from segjax.data.formats.images import shown
from segjax.data.formats.label_bands import read_labels
from segjax.data.formats.layouts import ImageAndMask, find
from segjax.data.formats.mask_files import decode_mask, other_colour, uncoloured
from segjax.data.formats.opened import stored_orientation
from segjax.data.formats.problems import Problem
from segjax.data.formats.rasters import WHITE, Depth, depth_of
from segjax.data.formats.scenes import Window, open_scene, windows
from segjax.data.formats.splits import Splits, split
from segjax.data.formats.tools.marks import stored_size
from segjax.errors import DataError
from segjax.mask_numbers import MOST_CLASSES
from segjax.progress import Bar

_SMALLEST = 8
"""A side, in pixels, below which an image is more likely a mistake than one to learn from."""


def check_masks(
    root: str | os.PathLike[str],
    *,
    workers: int | None = None,
    picture: str | os.PathLike[str] | None = None,
    bands: Sequence[str] = (),
    fold: int | None = None,
) -> Report:
    """Read every image and mask below a folder and report all that is wrong, with counts and class frequencies.

    A bar shows how far it is where standard error is a terminal. Nothing is written into the folder.

    Args:
        root: a folder in one of the layouts that `segjax.data.formats.layouts` lists.
        workers: threads that read; by default one for every core.
        picture: the image file to draw examples into, if any pair can be read.
        bands: which bands of the images are read, by number from 1 or name; all where none is named.
        fold: which of the folds in splits/, where it is one.

    Returns:
        A report, whatever the folder holds: a folder that is not there is a problem among others.

    Raises:
        DataError: that file cannot be written.
    """
    start = time.perf_counter()
    try:
        found = find(root)
        splits = split(found, fold)
        names = read_names(found.root)
        chosen = choose(bands, names, shown(root))
    except DataError as error:
        problem = Problem("folder", "error", shown(root), str(error))
        return Report(
            shown(root), "unknown", numbered_classes(0), None, Bands(), Splits(), (), (), (), (), (problem,), 0.0
        )
    labels = found.labels
    pairs = splits.train + splits.val + splits.test
    pool = ThreadPoolExecutor(workers or usable_cores())
    try:
        reading = pool.map(lambda pair: _read(pair, found.classes, found.channels, chosen, labels), pairs)
        with Bar("images", len(pairs)) as bar:
            seen = list(bar.each(reading))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for what has not begun
    for one in seen:
        found.problems.extend(one.problems)
    classes, levels = meaning_of_labels(found, seen) if labels else meaning_of_numbers(found, seen)
    count = 2 if labels else len(classes.names)
    seen = [replace(one, counts=one.counts.meant(None if one.coloured else levels, count)) for one in seen]
    reading_order = iter(seen)
    train, val, test = (tuple(itertools.islice(reading_order, len(part))) for part in splits[:3])
    if labels:
        check_labels(found, train, val, test)
    else:
        check_numbers(found, classes, train, val, test)
    if wrong := misnamed(classes.names):
        found.error("class name", found.root, wrong)
    of_images = bands_of(found, seen, names, chosen)
    note_frames_and_gaps(found, seen)
    found.problems.extend(
        duplicates(*([(one.pair.image, one.digest) for one in part if one.std.any()] for part in (train, val, test)))
    )
    if splits.by_hash:
        found.notes.append(splits.note)
    report = Report(
        shown(root), found.layout.tool, classes, levels, of_images, splits, train, val, test,
        tuple(found.notes), tuple(found.problems), time.perf_counter() - start, bool(labels),
    )  # fmt: skip
    if picture is not None:
        draw_examples(report, picture)
    return report


def _read(
    pair: ImageAndMask,
    classes: ClassList | None,
    channels: Sequence[str],
    chosen: tuple[int, ...] | None,
    labels: Sequence[str],
) -> Seen:
    try:
        scene = None if channels or labels else open_scene(pair.image)
        if scene is None:
            return _read_part(pair, classes, channels, chosen, labels)
        size = scene.shape[:2]
        of_mask = open_scene(pair.mask)
        mask_size = stored_size(pair.mask) if of_mask is None else of_mask.shape[:2]
        if size != mask_size:
            raise DataError(size_sentence(pair, size, mask_size))
    except DataError as error:
        problem = Problem("unreadable", "error", shown(pair.image), str(error))
        return Seen(pair, None, "uint8", np.zeros(3), np.zeros(3), 0, b"", no_counts(), False, (problem,))
    parts = [_read_part(pair, classes, channels, chosen, labels, window) for window in windows(scene.shape)]
    pixels = np.array([math.prod(one.size or (0,)) - one.missing for one in parts])
    means, stds = np.array([one.mean for one in parts]), np.array([one.std for one in parts])
    mean = np.average(means, axis=0, weights=np.maximum(pixels, 1))
    square = np.average(means**2 + stds**2, axis=0, weights=np.maximum(pixels, 1))
    return replace(
        parts[0],
        size=size,
        mean=mean,
        std=np.sqrt(np.maximum(square - mean**2, 0)),
        missing=sum(one.missing for one in parts),
        digest=blake2b(b"".join(one.digest for one in parts), digest_size=16).digest(),
        counts=added_up([one.counts for one in parts]),
        problems=tuple(dict.fromkeys(problem for one in parts for problem in one.problems if problem.kind != "small")),
    )


def _read_part(
    pair: ImageAndMask,
    classes: ClassList | None,
    channels: Sequence[str],
    chosen: tuple[int, ...] | None,
    labels: Sequence[str],
    window: Window | None = None,
) -> Seen:
    problems: list[Problem] = []
    depth: Depth = "uint8"
    size, mean, std, digest, missing = None, np.zeros(3), np.zeros(3), b"", None
    counts, coloured, mask_size = no_counts(len(labels)), False, None
    try:
        scene = None if window is None else open_scene(pair.image)
        if scene is None or window is None:
            found = read_channels(pair.image, channels, chosen)
        else:
            found = scene.read(window).bands(chosen, shown(pair.image))
        image, missing = found.pixels, found.missing
        size, depth = (image.shape[0], image.shape[1]), depth_of(image)
        mean, std = (values / WHITE[depth] for values in mean_and_deviation(image, missing))
        hasher = blake2b(image.data, digest_size=16)
        hasher.update(repr((size, depth)).encode())
        digest = hasher.digest()
        problems += doubts(pair, found, chosen)
    except DataError as error:
        problems.append(Problem("unreadable", "error", shown(pair.image), str(error)))
    try:
        stored = read_labels(pair, labels) if labels else decode_mask(pair.mask, window=window)
        mask_size = stored.shape[0], stored.shape[1]
        coloured = not labels and stored.ndim == 3 and bool(classes and classes.colours)
        mask = stored if labels else uncoloured(stored, pair.mask, classes.colours if classes else {})
        if missing is not None and missing.shape == mask_size:
            mask = mask.astype(np.uint16)
            mask[missing] = MOST_CLASSES
        counts = count_labels(mask) if labels else count_numbers(mask)
        numbers = counts.numbers if classes and not labels and stored.ndim == 2 else counts.numbers[:0]
        if drawn := other_colour(pair.mask, numbers, classes.colours if classes else {}):
            sentence = (
                f"{shown(pair.mask)} has a palette that draws {drawn}: of a palette the numbers count, so save the "
                "mask in colours, or number it as classes.txt does."
            )
            problems.append(Problem("palette", "error", shown(pair.mask), sentence))
    except DataError as error:
        problems.append(Problem("unreadable" if mask_size is None else "colour", "error", shown(pair.mask), str(error)))
    if size and mask_size and size != mask_size:
        problems.append(Problem("size", "error", shown(pair.mask), size_sentence(pair, size, mask_size)))
    if size and min(size) < _SMALLEST:
        name = shown(pair.image)
        problems.append(Problem("small", "warning", name, f"{name} is only {size[1]}x{size[0]} pixels: is it right?"))
    if pair.mask.suffix.lower() in (".jpg", ".jpeg"):
        name = shown(pair.mask)
        sentence = f"{name} is a JPEG, whose compression changes labels near edges: save masks as PNG."
        problems.append(Problem("lossy mask", "warning", name, sentence))
    absent = 0 if missing is None else int(missing.sum())
    return Seen(pair, size, depth, mean, std, absent, digest, counts, coloured, tuple(problems))


def size_sentence(pair: ImageAndMask, image: tuple[int, ...], mask: tuple[int, ...]) -> str:
    """Say that an image and its mask differ in (height, width)."""
    turned = tuple(image[:2]) == tuple(mask[:2])[::-1] and stored_orientation(pair.image) >= 5
    return (
        f"{shown(pair.mask)} is {mask[1]}x{mask[0]} pixels and its image {shown(pair.image)} {image[1]}x{image[0]}"
        + (
            ", turned by its EXIF orientation, which the mask does not have: save the image upright without one, or "
            "turn the mask, too."
            if turned
            else ": they must be the same size."
        )
    )
