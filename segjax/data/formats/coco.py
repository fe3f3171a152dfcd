"""Any data set in COCO's format: boxes with categories and scores, or masks drawn of their outlines."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segjax.data.dataset import Dataset
from segjax.data.formats.annotations import (
    Annotated,
    AnnotatedSource,
    Annotations,
    is_number,
    known_size,
    refuse_nothing_to_learn,
    share_out,
)
from segjax.data.formats.bands import Bands
from segjax.data.formats.classes import BACKGROUND, BACKGROUND_COLOUR, bright_palette
from segjax.data.formats.images import shown
from segjax.data.formats.json_files import read_json
from segjax.data.formats.once import read_once
from segjax.data.formats.polygons import OUTLINE_ADVICE, draw_labels, draw_mask, outline_fault
from segjax.data.formats.tools.marks import ImagesBelow
from segjax.data.photos import FOR_PHOTOS, OF_PHOTOS
from segjax.data.record import refuse_unknown_split
from segjax.data.statistics import Statistics
from segjax.errors import DataError
from segjax.mask_numbers import MOST_CLASSES

_FilePath = str | os.PathLike[str]


def coco(
    images: _FilePath | tuple[_FilePath, _FilePath] | tuple[_FilePath, _FilePath, _FilePath],
    train: _FilePath,
    test: _FilePath | None = None,
    *,
    val: _FilePath | None = None,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] = (),
    masks: bool | Literal["multilabel"] = False,
    statistics: Statistics = OF_PHOTOS,
) -> Dataset:
    """Make a data set of images and annotations in COCO's JSON format (Lin et al., 2014).

    Boxes with `iscrowd` are marked as such. Of an annotation's `attributes`, {"happy": 0.8, "sad": 0.1}, those that are
    named become scores of its box, NaN where it has none. Boxes are clipped to the image, and left out where they
    have no area. Images without annotations are kept. Roboflow's root, a category that is never used and that all the
    others have as their `supercategory`, is no class.

    With `masks` records have no boxes but a mask drawn of polygons and run lengths, and the data set's classes are the
    background, which is 0, and the categories. Smaller objects lie upon larger ones; crowds, and boxes without an
    outline, are ignored. `masks="multilabel"` draws each category into a band of its own, where objects of several may
    overlap, and there is no background.

    Args:
        images: the folder that `file_name` of the annotations starts from; or two, for training and for testing; or
            three, for training, for testing and for validation.
        train: the file of annotations to train on: annotations/instances_train2017.json.
        test: the file to score at the end; without one, the fifth of the images whose names have the lowest hashes.
        val: the file to score while training; without one, the tenth of the remaining images whose names have the
            lowest hashes, tiles of one image together.
        class_names: the categories to keep, in the order of their numbers; by default all in the order of their ids,
            for which the annotations are read at once, and not when the data set is opened.
        attribute_names: the attributes to keep, in their order.
        masks: whether records have a mask, and no boxes; "multilabel" for one with a band for each category.
        statistics: those of the images, which say their depth and bands, too; by default photos of 8 bits in three.
            `segjax.data.labelled` measures them by itself.

    Raises:
        DataError: the annotations cannot be read, have errors, or nothing to learn from: `segjax data check` lists all.
    """
    folders = images if isinstance(images, tuple) else (images, images)
    given = {"train": train, "val": val, "test": test}
    folder_of = {"train": folders[0], "val": folders[-1] if len(folders) == 3 else folders[0], "test": folders[1]}
    cut = [split for split, path in given.items() if path is None]

    def read(path: _FilePath, folder: _FilePath) -> Annotations:
        chosen = None if class_names is None else tuple(class_names), tuple(attribute_names), bool(masks)
        return read_once(
            (os.path.realpath(path), os.fspath(folder), *chosen),
            [Path(path)],
            lambda: read_coco(path, folder, class_names, attribute_names, segmentations=bool(masks)),
            lambda found: not any(problem.severity == "error" for problem in found.problems),
        )

    if class_names is not None:
        names = tuple(class_names)
    else:
        names = read(test, folder_of["test"]).class_names if test else read(train, folder_of["train"]).class_names
    multilabel = masks == "multilabel"
    if masks is True and len(names) >= MOST_CLASSES:
        raise ValueError(f"A mask holds up to {MOST_CLASSES - 1} classes and the background, not {len(names)}.")

    def open_split(split: str) -> AnnotatedSource:
        refuse_unknown_split(shown(train), split)
        of_train = split == "train" or split in cut
        path = given[split] or train
        folder = folder_of["train" if of_train else split]
        found = read(path, folder)
        if found.class_names != names:
            raise DataError(
                f"{shown(path)} has the categories {', '.join(found.class_names)} where {', '.join(names)} were "
                "expected: give both files the same, or say with class_names which to keep."
            )
        found.refuse()
        pictures = share_out(shown(train), found.pictures, cut)[split] if of_train else found.pictures
        if not pictures:
            raise DataError(f"{shown(path)} has no images for the split {split}: add some.")
        if split == "train":
            refuse_nothing_to_learn(shown(path), pictures, outlines=bool(masks))
        draw = partial(draw_labels if multilabel else draw_mask, labels=len(names)) if masks else None
        bands = Bands.measured(statistics.mean, statistics.std, statistics.depth)
        return AnnotatedSource(pictures, bool(attribute_names), bands, draw)

    return Dataset(
        Path(train).stem,
        (BACKGROUND, *names) if masks is True else names,
        (BACKGROUND_COLOUR, *bright_palette(len(names))) if masks is True else bright_palette(len(names)),
        open_split,
        tuple(attribute_names),
        statistics=statistics,
        augment=FOR_PHOTOS.of_depth(statistics.depth),
        multilabel=multilabel,
    )


def load_json(path: _FilePath) -> dict[str, Any]:
    """The parsed file.

    Raises:
        DataError: it has not the lists of COCO's format.
    """
    name, parsed = shown(path), read_json(path, "give the file of annotations")
    if isinstance(parsed, list):
        raise DataError(f"{name} holds a list, as files of predictions do: give the file of annotations.")
    lists = ("images", "annotations", "categories")
    for key in lists:
        entries = parsed.get(key) if isinstance(parsed, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DataError(f"{name} has no list of objects `{key}`: COCO's format has {', '.join(lists)}.")
    return parsed


def category_names(path: _FilePath, parsed: dict[str, Any]) -> tuple[str, ...]:
    """The names of the categories of parsed annotations by their ids.

    Raises:
        DataError: there are none, one has no number or name, or two have the same.
    """
    name, categories = shown(path), parsed["categories"]
    for category in categories:
        if type(category.get("id")) is not int or not isinstance(category.get("name"), str):
            raise DataError(f"{name} has the category {category}: give every one a whole number `id` and a `name`.")
    for key in ("id", "name"):
        again = [value for value, count in Counter(category[key] for category in categories).items() if count > 1]
        if again:
            raise DataError(f"{name} has several categories with the {key} {again[0]!r}: give every one its own.")
    if not categories:
        raise DataError(f"{name} has no categories: name at least one class.")
    said = (annotation.get("category_id") for annotation in parsed["annotations"])
    root = _root(categories, {category for category in said if isinstance(category, int)})
    listed = sorted(categories, key=lambda category: category["id"])
    return tuple(category["name"] for category in listed if category is not root)


def _root(categories: list[dict[str, Any]], used: set[Any]) -> dict[str, Any] | None:
    """The category that Roboflow puts above all others, and that no annotation has."""
    for one in categories:
        others = [other.get("supercategory") for other in categories if other is not one]
        above = bool(others) and all(name == one["name"] for name in others)
        if above and one["id"] not in used and one.get("supercategory") in (None, "", "none"):
            return one
    return None


def _scores(annotations: Iterable[dict[str, Any]], found: Annotations) -> tuple[str, ...]:
    """The names of the attributes whose numbers are in 0 to 1, in the order of the alphabet."""
    good: dict[str, bool] = {}
    for annotation in annotations:
        attributes = annotation.get("attributes")
        for name, value in attributes.items() if isinstance(attributes, dict) else ():
            if is_number(value):
                good[name] = good.get(name, True) and 0 <= value <= 1
    for name in sorted(name for name in good if not good[name]):
        found.warn("attribute", "", f"has numbers outside 0 to 1 for '{name}', so that it is taken for no score")
    return tuple(sorted(name for name in good if good[name]))


def read_coco(
    path: _FilePath,
    images: _FilePath | None,
    class_names: Sequence[str] | None = None,
    attribute_names: Sequence[str] | None = None,
    *,
    segmentations: bool = False,
    root: Path | None = None,
) -> Annotations:
    """Read a file of annotations without opening its images; what is wrong with it goes to `problems`.

    Args:
        path: the JSON file.
        images: the folder that `file_name` starts from; None looks for it around the file.
        class_names: the categories to keep; by default all.
        attribute_names: the attributes to keep; by default all whose numbers are in 0 to 1.
        segmentations: whether to keep polygons and run lengths, and to look what is wrong with them.
        root: the folder below which an image that is not where `file_name` says is found by its name.

    Raises:
        DataError: the file is no JSON of COCO's format, or says nothing certain of its categories or images.
    """
    parsed = load_json(path)
    known = category_names(path, parsed)
    names = tuple(class_names) if class_names is not None else known
    found = Annotations(Path(path), names)
    scores = attribute_names if attribute_names is not None else _scores(parsed["annotations"], found)
    found.attribute_names = tuple(scores)
    for name in sorted(set(names) - set(known)):
        found.error("class", "", f"has no category '{name}': it has {', '.join(known)}")
    folder = Path(images) if images is not None else _folder_of(Path(path), parsed["images"])
    pictures = _read_pictures(found, parsed["images"], folder, None if root is None else ImagesBelow(root))
    ids = {category["id"]: category["name"] for category in parsed["categories"]}
    _read_boxes(found, parsed["annotations"], ids, pictures, outlines=segmentations)
    for file, size, rows in pictures.values():
        found.pictures.append(
            Annotated(
                file,
                size,
                np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
                np.array([row["label"] for row in rows], np.int32),
                np.array([row["crowd"] for row in rows], bool),
                np.array([row["scores"] for row in rows], np.float32).reshape(len(rows), len(scores)),
                tuple(row["segmentation"] for row in rows) if segmentations else (),
            )
        )
    return found


def _folder_of(path: Path, images: list[dict[str, Any]]) -> Path:
    """The folder around a file of annotations that has the most of the first images."""
    names = [name for image in images[:50] if isinstance(name := image.get("file_name"), str)]
    split = path.stem.rpartition("_")[2]  # instances_train2017.json lists images of train2017/
    below = ("", "images", split, f"images/{split}", f"{split}/images")
    folders = [base / part for base in (path.parent, path.parent.parent) for part in below]
    return max(folders, key=lambda folder: sum(os.path.isfile(folder / name) for name in names))


_Pictures = dict[int | str, tuple[Path, tuple[int, int] | None, list[dict[str, Any]]]]


def _read_pictures(
    found: Annotations, images: list[dict[str, Any]], folder: Path, below: ImagesBelow | None
) -> _Pictures:
    pictures: _Pictures = {}
    paths: set[Path] = set()
    for number, image in enumerate(images):
        identity, name = image.get("id"), image.get("file_name")
        if not isinstance(identity, (int, str)) or not isinstance(name, str) or not name:
            found.error("image", f" images[{number}]", "has no `id` or no `file_name`: give it both")
            continue
        where = f" image {identity} ('{shown(name)}')"
        if identity in pictures:
            found.error("duplicate id", where, "has the id of another image: give every one its own")
            continue
        path = folder / name
        # Asked of `os`, to which a name that is too long is no file and no error.
        if not os.path.isfile(path) and below is not None:  # the path of another machine
            path = below.find(name, found.source.parent) or path
        if path in paths:
            found.error("duplicate file", where, "is listed before under another id: put its boxes together")
        paths.add(path)
        if not os.path.isfile(path):
            found.error("absent file", where, f"is not in {shown(folder)}: copy it there, or name another folder")
        pictures[identity] = (path, known_size(image.get("height"), image.get("width")), [])
    return pictures


def _read_boxes(
    found: Annotations,
    annotations: list[dict[str, Any]],
    categories: dict[int, str],
    pictures: _Pictures,
    *,
    outlines: bool,
) -> None:
    numbers = {name: number for number, name in enumerate(found.class_names)}
    seen: set[object] = set()
    for number, annotation in enumerate(annotations):
        identity = annotation.get("id")
        where = f" annotations[{number}]" if identity is None else f" annotation {identity}"
        if isinstance(identity, (int, str)):
            if identity in seen:
                found.error("duplicate id", where, "has the id of another annotation: give every one its own")
            seen.add(identity)
        image, category = annotation.get("image_id"), annotation.get("category_id")
        if not isinstance(image, (int, str)) or image not in pictures:
            found.error("unknown image", where, f"belongs to the image {image!r}, which is not listed: mend `image_id`")
            continue
        if not isinstance(category, int) or category not in categories:
            found.error("unknown category", where, f"has the category {category!r}, which is not listed: list it")
            continue
        path, size, rows = pictures[image]
        where += f" ('{shown(path.name)}')"
        box = found.keep_box(where, annotation.get("bbox"), size)
        crowd = annotation.get("iscrowd")
        if crowd not in (0, 1, None):  # "0", which Python takes for true
            found.error("crowd", where, f"has {crowd!r} for `iscrowd`: write 1 where it is a crowd, and 0 elsewhere")
        if box is None or categories[category] not in numbers:
            continue
        rows.append(
            {
                "box": box,
                "label": numbers[categories[category]],
                "crowd": crowd == 1,
                "scores": _read_scores(found, where, annotation.get("attributes")),
                "segmentation": annotation.get("segmentation"),
            }
        )
        if outlines and (wrong := outline_fault(annotation.get("segmentation"), size)):
            found.error("outline", where, f"has an outline that cannot be drawn ({wrong}): {OUTLINE_ADVICE}")


def _read_scores(found: Annotations, where: str, attributes: object) -> list[float]:
    scores = []
    for name in found.attribute_names:
        value = attributes.get(name) if isinstance(attributes, dict) else None
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            found.error("attribute", where, f"has {value!r} for '{name}': a score is a number in 0 to 1")
            value = None
        scores.append(float("nan") if value is None else float(value))
    return scores
