"""Boxes in the XML files of Pascal VOC, which many tools for drawing boxes write too."""

import os
import unicodedata
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from segjax.data.dataset import Dataset
from segjax.data.formats.annotations import Annotated, AnnotatedSource, Annotations, refuse_nothing_to_learn, share_out
from segjax.data.formats.bands import Bands
from segjax.data.formats.classes import bright_palette
from segjax.data.formats.images import images_by_stem, shown
from segjax.data.formats.opened import matching
from segjax.data.formats.tools.marks import ImagesBelow
from segjax.data.photos import FOR_PHOTOS, OF_PHOTOS
from segjax.data.record import refuse_unknown_split
from segjax.data.statistics import Statistics
from segjax.errors import DataError

_FilePath = str | os.PathLike[str]


def voc(
    root: _FilePath,
    train: str = "train",
    test: str = "val",
    *,
    val: str | None = None,
    class_names: Sequence[str] | None = None,
    statistics: Statistics = OF_PHOTOS,
) -> Dataset:
    """Make a data set of a folder in the layout of Pascal VOC (Everingham et al., 2010), for its boxes.

    The folder has Annotations/ with an XML file for each image in JPEGImages/, and lists of their names in
    ImageSets/Main/; without lists, the fifth of the images whose names have the lowest hashes tests. Corners count
    from 1 and are both inside, so that (1, 1, 1, 1) is the first pixel; `difficult` objects are marked as crowds, which
    neither train nor score.

    Args:
        root: the folder: VOCdevkit/VOC2012.
        train: the list to train on, ImageSets/Main/train.txt.
        test: the list to score at the end; what is called val in most sets, because few have another with boxes.
        val: the list to score while training; without one, the tenth of the training images whose names have the lowest
            hashes, tiles of one image together.
        class_names: the classes to keep, in the order of their numbers; by default all in the order of the alphabet,
            for which all annotations are read at once, and not when the data set is opened.
        statistics: those of the images, which say their depth and bands, too; by default photos of 8 bits in three.
            `segjax.data.labelled` measures them by itself.

    Raises:
        DataError: the annotations cannot be read, or have errors: `segjax data check` lists all.
    """
    root = Path(root)
    names = tuple(class_names) if class_names is not None else read_voc(root, annotation_files(root)).class_names

    def open_split(split: str) -> AnnotatedSource:
        refuse_unknown_split(shown(root), split)
        lists = root / "ImageSets" / "Main"
        given = {"train": train, "val": val, "test": test} if lists.is_dir() else {}
        if split != "train" and given.get(split):
            found = read_voc(root, listed_files(root, lists / f"{given[split]}.txt"), names)
            pictures = found.pictures
        else:
            files = listed_files(root, lists / f"{train}.txt") if given else annotation_files(root)
            found = read_voc(root, files, names)
            cut = [one for one in ("val", "test") if not given.get(one)]
            pictures = share_out(shown(root), found.pictures, cut)[split]
        found.refuse()
        if not pictures:
            raise DataError(f"{shown(root)} has no images for the split {split}: add some.")
        if split == "train":
            refuse_nothing_to_learn(shown(root), pictures)
        return AnnotatedSource(pictures, bands=Bands.measured(statistics.mean, statistics.std, statistics.depth))

    return Dataset(
        root.resolve().name,
        names,
        bright_palette(len(names)),
        open_split,
        statistics=statistics,
        augment=FOR_PHOTOS.of_depth(statistics.depth),
    )


def annotation_files(root: Path) -> list[Path]:
    """The XML files of Annotations/, or beside images as of labelImg.

    Raises:
        DataError: there are none.
    """
    files = sorted(matching(root / "Annotations", "*.xml")) or sorted(_beside_images(root))
    if not files:
        raise DataError(
            f"{shown(root)} has no Annotations/ with XML files, and none beside images: give the folder of both."
        )
    return files


def has_annotations(root: Path) -> bool:
    """Whether there are XML files in Annotations/ or beside images."""
    return any(matching(root / "Annotations", "*.xml")) or any(_beside_images(root))


def _beside_images(root: Path) -> Iterator[Path]:
    images = cache(images_by_stem)
    for file in matching(root, "**/*.xml"):
        if file.stem in images(file.parent):
            yield file


def listed_files(root: Path, path: Path) -> list[Path]:
    """The XML files that a list names.

    Raises:
        DataError: it cannot be read, or names none.
    """
    try:
        # VOC's lists of one class have a second column.
        keys = [line.split()[0] for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)} cannot be read ({error}): name a list of ImageSets/Main/.") from None
    if not keys:
        raise DataError(f"{shown(path)} lists nothing: write names of images, one a line.")
    return [root / "Annotations" / f"{unicodedata.normalize('NFC', key)}.xml" for key in keys]


def read_voc(root: Path, files: Iterable[Path], class_names: Sequence[str] | None = None) -> Annotations:
    """Read XML files without opening their images; what is wrong with them goes to `problems`."""
    found = Annotations(root, tuple(class_names or ()))
    trees = [(file, _parse(found, file)) for file in files]
    if class_names is None:
        objects = (one for _, tree in trees if tree is not None for one in tree.iterfind("object"))
        found.class_names = tuple(sorted({one.findtext("name", "").strip() for one in objects} - {""}))
    numbers = {name: number for number, name in enumerate(found.class_names)}
    images, below = cache(images_by_stem), ImagesBelow(root)
    for file, tree in trees:
        if tree is not None:
            found.pictures.append(_read_picture(found, root, file, tree, numbers, images, below))
    found.refuse_twice(picture.path for picture in found.pictures)
    return found


def _parse(found: Annotations, file: Path) -> xml.Element | None:
    where = f"/{shown(file.relative_to(found.source))}"
    try:
        return xml.fromstring(file.read_bytes())
    except OSError as error:
        found.error("absent file", where, f"cannot be read ({error.strerror}): copy it there")
    except (xml.ParseError, ValueError) as error:
        found.error("unreadable", where, f"is no XML, or cut short ({error}): write it again")
    return None


def _read_picture(
    found: Annotations,
    root: Path,
    file: Path,
    tree: xml.Element,
    numbers: dict[str, int],
    images: Callable[[Path], dict[str, Path]],
    below: ImagesBelow,
) -> Annotated:
    where = f"/{shown(file.relative_to(found.source))}"
    size = _whole(tree.findtext("size/height")), _whole(tree.findtext("size/width"))
    known = (size[0], size[1]) if size[0] and size[1] else None
    folder = root / "JPEGImages" if file.parent.name == "Annotations" else file.parent
    name = tree.findtext("filename", "").strip() or f"{file.stem}.jpg"
    # Tools often leave the name that an image had before it was renamed with its annotations.
    path = images(folder).get(file.stem, folder / name)
    if not os.path.isfile(path):
        path = below.find(f"{file.stem}{Path(name).suffix}", folder) or below.find(name, folder) or path
    if not os.path.isfile(path):
        found.error("absent file", where, f"has no image '{shown(path.name)}' in {shown(folder)}: copy it there")
    boxes, labels, crowd = [], [], []
    for number, one in enumerate(tree.iterfind("object")):
        here = f"{where} object {number}"
        label = one.findtext("name", "").strip()
        if not label:
            found.error("unknown category", here, "has no name: write its class")
            continue
        corners = [_number(one.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax")]
        left, top, right, bottom = corners
        if left is None or top is None or right is None or bottom is None:
            found.error("box", here, "has no bndbox of four numbers xmin, ymin, xmax, ymax: write them in pixels")
            continue
        # From 1 and both inside: so that a box from 5 to 5 is one pixel wide, and one from 5 to 4 empty.
        box = found.keep_box(here, (left - 1, top - 1, right - left + 1, bottom - top + 1), known)
        if box is None or label not in numbers:
            continue
        boxes.append(box)
        labels.append(numbers[label])
        crowd.append(one.findtext("difficult", "0").strip() == "1")
    return Annotated(
        path,
        known,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, np.int32),
        np.array(crowd, bool),
        np.zeros((len(boxes), 0), np.float32),
        (None,) * len(boxes),
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _whole(text: str | None) -> int:
    value = _number(text)
    return int(value) if value and value > 0 else 0
