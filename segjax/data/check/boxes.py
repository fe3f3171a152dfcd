"""Read every image of a data set of boxes and find everything that is wrong with it at once."""

import itertools
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b

from segjax.cores import usable_cores
from segjax.data.check.box_examples import draw_boxes_of
from segjax.data.check.box_report import BoxReport, SeenBoxes
from segjax.data.check.image_files import others
from segjax.data.check.report import duplicates
from segjax.data.formats.annotations import Annotated, Annotations, nothing_to_learn, size_sentence
from segjax.data.formats.bands import NAMES_FILE, Bands, miscounted
from segjax.data.formats.box_layouts import FoundBoxes
from segjax.data.formats.classes import misnamed
from segjax.data.formats.images import read_image, shown
from segjax.data.formats.problems import Problem
from segjax.data.formats.rasters import depth_of
from segjax.errors import DataError
from segjax.progress import Bar


def check_boxes(
    found: FoundBoxes,
    *,
    workers: int | None = None,
    picture: str | os.PathLike[str] | None = None,
    chosen: tuple[int, ...] | None = None,
    names: tuple[str, ...] = (),
) -> BoxReport:
    """Read every image of annotations and report all that is wrong with either; `segjax.data.check` says how.

    `chosen` are the numbers of the bands to read, as `segjax.data.formats.bands.choose` gives them, and `names` what
    bands.txt calls those of a file.
    """
    start = time.perf_counter()
    pictures = found.train + found.val + found.test
    pool = ThreadPoolExecutor(workers or usable_cores())
    try:
        reading = pool.map(partial(_read, chosen=chosen), pictures)
        with Bar("images", len(pictures)) as bar:
            seen = list(bar.each(reading))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for what has not begun
    reading_order = iter(seen)
    train, val, test = (
        tuple(itertools.islice(reading_order, len(part))) for part in (found.train, found.val, found.test)
    )
    problems = [problem for one in found.read for problem in one.problems]
    problems.extend(problem for one in seen for problem in one.problems)
    problems.extend(
        duplicates(*([(one.picture.path, one.digest) for one in part if one.digest] for part in (train, val, test)))
    )
    if kinds := Counter(one.kind for one in seen if one.kind):
        bands = Bands(*kinds.most_common(1)[0][0])
        problems.extend(others(bands, ((one.picture.path, *one.kind) for one in seen if one.kind)))
        named = chosen is not None and max(chosen) <= len(names)
        if not named and (wrong := miscounted(names, bands.count)):
            file = shown(found.root / NAMES_FILE)
            problems.append(Problem("bands", "error", file, f"{file} {wrong}."))
    problems.extend(_never_seen(found, train, val, test))
    first = found.read[0]
    if wrong := misnamed(first.class_names, first.attribute_names):
        problems.append(Problem("class name", "error", shown(found.root), f"{shown(found.root)} {wrong}."))
    report = BoxReport(
        shown(found.root), found.tool, first.class_names, first.attribute_names, train, val, test, tuple(found.notes),
        tuple(problems), time.perf_counter() - start,
    )  # fmt: skip
    if picture is not None:
        draw_boxes_of(report, picture)
    return report


def _read(picture: Annotated, chosen: tuple[int, ...] | None) -> SeenBoxes:
    if not os.path.isfile(picture.path):
        return SeenBoxes(picture, None, b"", ())  # which reading the annotations has said
    name = shown(picture.path)
    try:
        image = read_image(picture.path, bands=chosen)
    except DataError as error:
        return SeenBoxes(picture, None, b"", (Problem("unreadable", "error", name, str(error)),))
    size = image.shape[0], image.shape[1]
    problems = []
    if picture.size is not None and picture.size != size:
        problems.append(Problem("size", "error", name, size_sentence(picture, size)))
    if picture.size is None:
        inside = Annotations(picture.path, ())
        for number, box in enumerate(picture.boxes.tolist()):
            inside.keep_box(f" box {number}", box, size)
        problems.extend(inside.problems)
    plain = (image == image[0, 0]).all()  # empty tiles may well be equal
    digest = b"" if plain else blake2b(image.tobytes() + repr(size).encode(), digest_size=16).digest()
    return SeenBoxes(picture, size, digest, tuple(problems), (depth_of(image), image.shape[2]))


def _never_seen(found: FoundBoxes, *splits: tuple[SeenBoxes, ...]) -> list[Problem]:
    root, problems = shown(found.root), []
    labels = [{label for one in part for label in one.picture.labels[~one.picture.crowd].tolist()} for part in splits]
    if nothing := nothing_to_learn(root, [one.picture for one in splits[0]]):
        return [Problem("no boxes", "error", root, nothing)]
    names = ("training", "validation", "test")
    for number, name in enumerate(found.read[0].class_names):
        where = [split for split, has in zip(names, labels, strict=True) if number not in has]
        if where:
            sentence = f"{root} has class {number} ('{name}') in no {' and no '.join(where)} image."
            problems.append(Problem("never seen", "warning", root, sentence))
    return problems
