"""YOLO's files: a .txt for each image with a class and shares of the image a line, and data.yaml with the classes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from segjax.data.formats.annotations import Annotations
from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.opened import matching
from segjax.data.formats.tools.marks import SPLITS, Labelled, Mark, Reading, polygon, rectangle, stored_size
from segjax.errors import DataError

_LISTS = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")
_SLACK = 0.01
"""How far over the border a share may lie, before it is taken for one in pixels."""


class _Words(yaml.BaseLoader):
    """Every scalar as it is written, since YAML takes the class `no` for false; what is said twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(problem=f"it says `{twice}` twice")
        return super().construct_mapping(node, deep)


def read(root: Path) -> Reading | None:
    """Read boxes (class, middle, size) and outlines (class, corners); an image without a file has no objects."""
    said, path = _description(root)
    found = Annotations(root, ())
    places = _places(root, said, found)
    if not places:
        return None
    names, keypoints = _classes(root, said, path)
    images = {
        split: [image for path in paths if (image := _image(found, path, names, keypoints))]
        for split, paths in places.items()
    }
    if names is None:
        used = {int(mark.label) for part in images.values() for image in part for mark in image.marks}
        names = [str(number) for number in range(max(used, default=-1) + 1)]
    return Reading("YOLO", found, images, names)


def _description(root: Path) -> tuple[dict[str, Any], Path | None]:
    """What data.yaml says, and which file that is."""
    for path in sorted(matching(root, "*.yaml", "*.yml")):
        try:
            said = yaml.load(path.read_text("utf-8-sig"), _Words)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DataError(
                f"{shown(path)} is no YAML, or cut short ({str(error).splitlines()[0]}): write it again."
            ) from None
        if isinstance(said, dict) and "names" in said:
            return said, path
    return {}, None


def _classes(root: Path, said: dict[str, Any], path: Path | None) -> tuple[list[str] | None, bool]:
    """The names of the classes, None where there is no list of them; and whether lines go on with points of a pose."""
    names = said.get("names")
    if isinstance(names, dict):
        if set(names) != {str(number) for number in range(len(names))}:
            raise DataError(f"{shown(path or root)} does not number its `names` 0, 1, 2, ...: mend it.")
        names = [names[str(number)] for number in range(len(names))]
    if isinstance(names, list):
        if said.get("nc", str(len(names))) != str(len(names)):
            raise DataError(f"{shown(path or root)} says {said['nc']} classes (`nc`) and names {len(names)}: mend it.")
        return [str(name) for name in names], "kpt_shape" in said
    listed = next((file for file in (root / name for name in _LISTS) if file.is_file()), None)
    return _lines(listed) if listed else None, False


def _lines(path: Path) -> list[str]:
    """Those of a list of classes or images that are not empty."""
    try:
        return [*filter(None, map(str.strip, path.read_text("utf-8-sig").splitlines()))]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)} is no list of lines in UTF-8 ({error}): save it as such.") from None


def _places(root: Path, said: dict[str, Any], found: Annotations) -> dict[str, list[Path]]:
    """The images of every split that have, or may have, a .txt of their own; nothing where no image has one."""
    top = said.get("path", "")
    parts = {split: [*dict.fromkeys(_listed(root, top, said.get(split)))] for split in SPLITS} if said else {}
    parts = {split: paths for split, paths in parts.items() if paths}
    for split, words in SPLITS.items() if not parts else ():
        for folder in (root / place.format(word) for word in words for place in ("images/{}", "{}/images")):
            if split not in parts and folder.is_dir():
                parts[split] = [*_images(folder)]
    for split in [split for split, paths in parts.items() if split != "train" and not _has_labels(paths)]:
        # As many are given away for testing: scores would be of images that show nothing.
        found.warn("no labels", "", f"has no .txt of any image for {split}, which is not used: copy its labels there")
        del parts[split]
    if not {"train"} < parts.keys():
        every = [path for paths in parts.values() for path in paths]
        parts = {"": every or [*_images(root)]}
    return parts if any(map(_has_labels, parts.values())) else {}


def _listed(root: Path, top: str, said: Any) -> Iterator[Path]:
    """The images of a split: of a folder below `top`, of a list in a .txt file, or of several of these."""
    for one in said if isinstance(said, list) else [said] if said else ():
        # What such files say is right on the machine that wrote them; here the last parts count.
        parts = [part for part in f"{top}/{one}".replace("\\", "/").split("/") if part not in ("", ".", "..")]
        tails = [root.joinpath(*parts[start:]) for start in range(len(parts))]
        given = [Path(str(one))] if Path(str(one)).is_absolute() else []
        place = next((path for path in (*given, *tails) if os.path.exists(path)), None)
        if place is None:
            continue
        if place.is_dir():
            yield from _images(place)
        else:
            for line in _lines(place):
                yield next((path for path in (root / line, place.parent / line) if os.path.isfile(path)), root / line)


def _images(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(matching(folder, "**/*")) if path.suffix.lower() in SUFFIXES)


def _labels(image: Path) -> Path:
    """The file of an image: in labels/ where the image is in images/, or beside it."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    apart = Path(*parts).with_suffix(".txt")
    return apart if os.path.isfile(apart) else image.with_suffix(".txt")


def _has_labels(images: list[Path]) -> bool:
    return any(os.path.isfile(_labels(path)) for path in images)


def _image(found: Annotations, path: Path, names: list[str] | None, keypoints: bool) -> Labelled | None:
    file = _labels(path)
    if not os.path.isfile(path):
        found.error("absent file", "", f"has no image {shown(path)}: copy it there, or take it out of the list")
        return None
    try:
        size = stored_size(path)
        lines = file.read_text("utf-8-sig").splitlines() if file.is_file() else []
    except (DataError, OSError, UnicodeDecodeError) as error:
        found.error("unreadable", "", f"cannot be used whole: {error}")
        return None
    where = f"/{shown(file.relative_to(found.source))}" if found.source in file.parents else f" {shown(file)}"
    marks = (
        _mark(found, f"{where} line {n}", line, names, keypoints, size)
        for n, line in enumerate(lines, 1)
        if line.strip()
    )
    return Labelled(path, size, [mark for mark in marks if mark])


def _mark(
    found: Annotations, where: str, line: str, names: list[str] | None, keypoints: bool, size: tuple[int, int]
) -> Mark | None:
    try:
        first, *shares = map(float, line.split())
    except ValueError:
        found.error("box", where, f"has {line.strip()[:40]!r}: write a class and numbers")
        return None
    shares = shares[:4] if keypoints else shares
    height, width = size
    known = first.is_integer() and 0 <= first < (len(names) if names is not None else 10_000)
    if not known:
        found.error(
            "unknown category",
            where,
            f"has the class {line.split()[0]}: classes are numbered 0 to {len(names or ()) - 1}",
        )
    elif len(shares) == 5:
        found.error("box", where, "has six numbers, as predictions do whose last one is a score: give labels")
    elif len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        found.error(
            "box", where, f"has {len(shares) + 1} numbers: a box has a class and 4, an outline a class and 2 a corner"
        )
    elif not all(-_SLACK <= share <= 1 + _SLACK for share in shares):
        found.error("box", where, "has numbers outside 0 to 1: they are shares of the image's width and height")
    else:
        label = names[int(first)] if names is not None else str(int(first))
        if len(shares) > 4:
            return polygon(
                label, where, [(x * width, y * height) for x, y in zip(shares[::2], shares[1::2], strict=True)]
            )
        x, y, w, h = shares
        return rectangle(label, where, (x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
    return None
