"""Which annotations belong to which images, where boxes or outlines are annotated, in the layout of any tool."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from segjax.data.formats.annotations import Annotated, Annotations, cut_splits
from segjax.data.formats.coco import read_coco
from segjax.data.formats.held_out import held_out_note
from segjax.data.formats.images import shown
from segjax.data.formats.layouts import TEST_NAMES, TRAIN_NAMES, VAL_NAMES
from segjax.data.formats.opened import matching
from segjax.data.formats.tools import read_labelled
from segjax.data.formats.voc import annotation_files, has_annotations, listed_files, read_voc
from segjax.errors import DataError, counted

JSON_PLACES = ("annotations/*.json", "*.json", "*/*.json")
"""Where files of COCO's format are looked for; the first place that has some is taken.

Words in their names, or in that of their folder, say the split: annotations/instances_train2017.json,
valid/_annotations.coco.json.
"""


@dataclass
class FoundBoxes:
    """A data set of boxes, as far as its annotations say it."""

    root: Path
    tool: str
    read: tuple[Annotations, ...]
    """What was read of every file or folder of annotations."""
    train: list[Annotated]
    val: list[Annotated]
    test: list[Annotated]
    notes: list[str] = field(default_factory=list)


def find_boxes(root: str | os.PathLike[str]) -> FoundBoxes | None:
    """Find and read the annotations of a folder, or of one JSON file, without opening images; None where it has none.

    Raises:
        DataError: there are annotations that cannot be read at all.
    """
    root = Path(root)
    if root.suffix.lower() in (".json", ".ndjson") and not root.is_dir():
        labelled = None if _looks_like_coco(root) else read_labelled(root)
        return _labelled(root, *labelled) if labelled else _coco(root, [root])
    for place in JSON_PLACES:
        if files := [path for path in sorted(matching(root, place)) if _looks_like_coco(path)]:
            return _coco(root, files)
    if root.name == "Annotations" and any(matching(root, "*.xml")):
        root = root.parent
    if any(matching(root / "Annotations", "*.xml")):
        return _voc(root)
    if labelled := read_labelled(root):
        return _labelled(root, *labelled)
    if files := sorted(matching(root, JSON_PLACES[0])):  # one that is cut short, or not what COCO calls annotations
        return _coco(root, files[:1])
    return _voc(root) if has_annotations(root) else None


def _looks_like_coco(path: Path) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return all(key in data for key in (b'"images"', b'"annotations"', b'"categories"'))


def _coco(root: Path, files: list[Path]) -> FoundBoxes:
    notes: list[str] = []
    train, val, test = (_file_of(root, files, names) for names in (TRAIN_NAMES, VAL_NAMES, TEST_NAMES))
    if test is None:  # then validation tests
        val, test = None, val
    paths = [path for path in (train, test, val) if path is not None]
    if train is None and test is not None and root.is_dir():  # a hash would train on what someone has put aside
        raise DataError(
            f"{shown(test)} is not for training by its name, and {shown(root)} has no other that is: put train into "
            "the name of what trains, or give that file itself to have it shared out."
        )
    if train is None or test is None:
        paths = paths[:1] or files
        if len(paths) > 1:
            raise DataError(
                f"{shown(root)} has several files of annotations ({', '.join(shown(path.name) for path in paths)}) and "
                "their names do not say which is for training and which for testing: give one of them."
            )
    for path in files:
        if path not in paths:
            notes.append(f"{shown(path)} is not read: {', '.join(shown(one) for one in paths)} is.")
    below = root if root.is_dir() else root.parent
    read = tuple(read_coco(path, None, segmentations=True, root=below) for path in paths)
    if len(read) == 1:
        return _unsplit(root, "COCO", read[0], notes)
    for other in read[1:]:
        if read[0].class_names != other.class_names:
            other.error("class", "", f"has other categories than {shown(read[0].source)}: give both the same")
    return _split(root, "COCO", read, notes)


def _file_of(root: Path, files: list[Path], names: tuple[str, ...]) -> Path | None:
    """The file whose name, or else its folder's, has the first of some words; that of instances where several have."""
    texts = {path: (path.stem, path.parent.name if path.parent != root else "") for path in files}
    for name in names:
        for part in (0, 1):
            found = [path for path in files if name in re.split(r"[^a-z]+", texts[path][part].lower())]
            if found:
                return next((path for path in found if path.name.startswith("instances")), found[0])
    return None


def _voc(root: Path) -> FoundBoxes:
    lists = root / "ImageSets" / "Main"
    train, val, test = (
        next((lists / f"{name}.txt" for name in names if (lists / f"{name}.txt").is_file()), None)
        for names in (TRAIN_NAMES, VAL_NAMES, TEST_NAMES)
    )
    if test is None:  # then validation tests
        val, test = None, val
    every = read_voc(root, annotation_files(root))
    if train is None and test is None:
        return _unsplit(root, "Pascal VOC", every, [])
    if train is None or test is None:
        missing = lists / ("train.txt" if train is None else "test.txt")
        every.error("split", "", f"has no {shown(missing)}: write both lists, or neither to have them worked out")
        return FoundBoxes(root, "Pascal VOC", (every,), every.pictures, [], [])
    paths = [path for path in (train, test, val) if path is not None]
    read = tuple(read_voc(root, listed_files(root, path), every.class_names) for path in paths)
    return _split(root, "Pascal VOC", read, [])


def _labelled(root: Path, tool: str, parts: dict[str, Annotations]) -> FoundBoxes:
    if "" in parts:
        return _unsplit(root, tool, parts[""], [])
    test = parts.get("test", parts.get("val"))
    assert test is not None  # or nothing would say the splits
    read = [parts["train"], test, *([parts["val"]] if "test" in parts and "val" in parts else [])]
    return _split(root, tool, tuple(read), [])


def _split(root: Path, tool: str, read: tuple[Annotations, ...], notes: list[str]) -> FoundBoxes:
    """Of annotations for training, for testing and, where there are some, for validation."""
    train, test = read[0].pictures, read[1].pictures
    first: dict[Path, int] = {}
    for number, one in enumerate(read):
        uses = "for training", "for testing", "for validation"
        shared = [picture.path for picture in one.pictures if first.setdefault(picture.path, number) != number]
        if shared:
            both = f"{uses[first[shared[0]]]} and {uses[number]}"
            images = counted(len(shared), "image")
            one.error("split", "", f"has {images} {both}, such as {shown(shared[0])}: take what is in both out of one")
    if len(read) == 3:
        return FoundBoxes(root, tool, read, train, read[2].pictures, test, notes)
    if len(train) == 1:
        read[0].error("split", "", "has 1 image: training and validation need one each")
    train, val, _ = cut_splits(train, ("val",))
    return FoundBoxes(root, tool, read, train, val, test, [*notes, held_out_note(shown(root), val, train)])


def _unsplit(root: Path, tool: str, read: Annotations, notes: list[str]) -> FoundBoxes:
    if len(read.pictures) < 3:
        images = counted(len(read.pictures), "image")
        read.error("split", "", f"has {images}: training, validation and testing need one each")
        return FoundBoxes(root, tool, (read,), read.pictures, [], [], notes)
    train, val, test = cut_splits(read.pictures, ("val", "test"))
    notes.append(
        f"Nothing says which images validate and which test: {len(val)} and {len(test)} of {len(read.pictures)} do, "
        "chosen by a hash of their names."
    )
    return FoundBoxes(root, tool, (read,), train, val, test, notes)
