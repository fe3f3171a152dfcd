"""Names, numbers and colours of classes: classes.txt, and colours where nobody chose any."""

import colorsys
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt

from segjax.data.formats.images import shown
from segjax.data.formats.mask_files import Colours
from segjax.errors import DataError
from segjax.mask_numbers import MOST_CLASSES, ignored, mask_type

Colour = tuple[int, int, int]
BACKGROUND = "background"
"""What class 0 is called where a mask is drawn of objects."""
BACKGROUND_COLOUR: Colour = (40, 40, 40)


_IGNORED = -1


class ClassList(NamedTuple):
    """Class names in the order of their numbers."""

    names: tuple[str, ...]
    palette: tuple[Colour, ...]
    """The colour that each class is drawn in."""
    colours: Colours
    """What coloured masks mean; empty where nobody said."""


def misnamed(class_names: Iterable[str], attribute_names: Iterable[str] = ()) -> str | None:
    """What a data set of these names is refused for, by a sentence that begins with its own; None where nothing is."""
    class_names = tuple(class_names)
    counts = Counter(class_names)
    if twice := next((name for name in class_names if counts[name] > 1), None):
        return (
            f"has two classes called '{twice}': give each a name of its own; masks that are drawn of objects have a "
            "background beside them"
        )
    for name in (*class_names, *attribute_names):
        if not name.strip() or any(unicodedata.category(letter) == "Cc" for letter in name):
            return f"has a class called {name!r}: write a name of letters that can be seen"
    return None


def voc_palette(classes: int) -> tuple[Colour, ...]:
    """Give that many colours, far apart: black, dark red, dark green, ..., those of Pascal VOC's development kit."""

    def colour(number: int) -> Colour:
        # Three bits of the number at a time, one for each channel, from the highest bit of the channel down.
        red, green, blue = (
            sum((number >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)
        )
        return red, green, blue

    return tuple(colour(number) for number in range(classes))


def bright_palette(classes: int) -> tuple[Colour, ...]:
    """Give that many bright colours for frames around objects, neighbours far apart: hues by the golden angle."""

    def colour(number: int) -> Colour:
        red, green, blue = colorsys.hsv_to_rgb((0.03 + 0.381966 * number) % 1, 0.9, 1.0)
        return round(255 * red), round(255 * green), round(255 * blue)

    return tuple(colour(number) for number in range(classes))


def numbered_classes(count: int) -> ClassList:
    """Classes of which only the count is known; two are taken for background and foreground."""
    names = ("background", "foreground") if count == 2 else tuple(f"class {number}" for number in range(count))
    return ClassList(names, voc_palette(count), {})


_LINE = re.compile(r"(?P<name>.*?)(?:(?:^|[\s,]+)(?:#(?P<hex>[0-9a-fA-F]{6})|(?P<rgb>\d+[\s,]+\d+[\s,]+\d+)))?")


def read_classes(path: Path) -> ClassList:
    """Read classes.txt: a class on every line, `name`, `name #rrggbb` or `name r g b`, numbered from 0 by its line.

    Lines `ignore #rrggbb` take no number: they give colours of coloured masks that are not scored.

    Raises:
        DataError: the file is empty or no text, a name or a colour comes twice, a line is blank, or begins with # as a
            comment does, or a colour is impossible.
    """
    name = shown(path)
    try:
        lines = path.read_text("utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{name} cannot be read ({error}): save it as UTF-8 text.") from None
    if not lines:
        raise DataError(f"{name} is empty: write one class name a line, or remove it.")
    names: dict[str, None] = {}  # looked up as quickly as a set, in their order
    chosen: dict[int, Colour] = {}
    colours: dict[Colour, int] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line.strip())
        assert match
        if not match["name"]:
            raise DataError(f"{name} has no class name in line {number}: classes are numbered by line, so name it.")
        if match["name"].startswith("#"):
            raise DataError(
                f"{name} begins line {number} with #, as a comment or a colour does: classes are numbered by line, so "
                "write nothing but names, each before its colour."
            )
        colour = None
        if match["hex"] or match["rgb"]:
            red, green, blue = (
                bytes.fromhex(match["hex"]) if match["hex"] else map(int, re.findall(r"\d+", match["rgb"]))
            )
            colour = red, green, blue
            if max(colour) > 255:
                raise DataError(f"{name} has a colour above 255 in line {number}: write red green blue in 0 to 255.")
        unscored = match["name"] == "ignore"
        if match["name"] in names:
            raise DataError(f"{name} has the class '{match['name']}' twice: give every line a name of its own.")
        if colour is not None:
            if colour in colours:
                raise DataError(f"{name} gives the colour of line {number} twice: one colour can mean only one class.")
            colours[colour] = _IGNORED if unscored else len(names)
        if not unscored:
            if colour is not None:
                chosen[len(names)] = colour
            names[match["name"]] = None
        elif colour is None:
            raise DataError(
                f"{name} has no colour after 'ignore' in line {number}: grey masks write ignored pixels 255 or, beyond "
                "255 classes, 65535."
            )
    if not 2 <= len(names) <= MOST_CLASSES:
        raise DataError(f"{name} lists {len(names)} classes: name 2 to {MOST_CLASSES}, the background too.")
    colours = {colour: ignored(len(names)) if one == _IGNORED else one for colour, one in colours.items()}
    palette = tuple(chosen.get(index, colour) for index, colour in enumerate(voc_palette(len(names))))
    return ClassList(tuple(names), palette, colours)


def read_labelmap(path: Path) -> ClassList:
    """Read CVAT's labelmap.txt, `name:red,green,blue:parts:actions` a line; a class called background comes first.

    Raises:
        DataError: the file is empty or no text, has another line than that, or a name or a colour twice.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)} cannot be read ({error}): save it as UTF-8 text.") from None
    listed: list[tuple[str, Colour]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = re.fullmatch(r"(.+?):(\d+),(\d+),(\d+)(?::.*)?", line.strip())
        if match is None or max(map(int, match.groups()[1:])) > 255:
            raise DataError(f"{shown(path)} has no `name:red,green,blue::` in line {number}: export it again.")
        red, green, blue = map(int, match.groups()[1:])
        listed.append((match[1], (red, green, blue)))
    listed.sort(key=lambda one: one[0].lower() != BACKGROUND)
    names, colours = tuple(name for name, _ in listed), tuple(colour for _, colour in listed)
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names) or len(set(colours)) < len(colours):
        raise DataError(f"{shown(path)} has less than 2 classes, or a name or a colour twice: export it again.")
    return ClassList(names, colours, {colour: number for number, colour in enumerate(colours)})


def read_nnunet_classes(path: Path) -> tuple[ClassList, UInt[np.ndarray, " n"] | None]:
    """Read the class names of nnU-Net's dataset.json, `{"labels": {"background": 0, "cell": 1, "ignore": 2}}`.

    Its last label may be called ignore, and is no class: then the class of every number comes with them.

    Raises:
        DataError: it gives no names with numbers, or not numbers from 0 on.
    """
    try:
        labels = json.loads(path.read_text("utf-8-sig"))["labels"]
        numbers = sorted((int(number), str(name)) for name, number in labels.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{shown(path)} does not give `labels` as names with numbers ({error}): mend it.") from None
    if [number for number, _ in numbers] != list(range(len(numbers))):
        raise DataError(f"{shown(path)} does not number its labels 0, 1, 2, ...: write classes.txt beside it.")
    names = tuple(name for _, name in numbers if name != "ignore")
    classes, count = ClassList(names, voc_palette(len(names)), {}), len(names)
    if count == len(numbers):
        return classes, None
    if numbers[-1][1] != "ignore":
        raise DataError(f"{shown(path)} does not have `ignore` as its last label, as nnU-Net asks for: number it so.")
    kind = mask_type(count)
    levels = np.arange(np.iinfo(kind).max + 1, dtype=kind)
    levels[count] = ignored(count)
    return classes, levels


def read_roboflow_classes(path: Path) -> ClassList:
    """Read Roboflow's _classes.csv, `Pixel Value, Class` and a line for each: `0, background`.

    Raises:
        DataError: a line is no number and name, or the numbers are not those from 0 on.
    """
    try:
        rows = [line.partition(",") for line in path.read_text("utf-8-sig").splitlines()[1:] if line.strip()]
        numbers = sorted((int(number), name.strip()) for number, _, name in rows)
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)} does not give a number and a name a line ({error}): export it again.") from None
    if len(numbers) < 2 or [number for number, _ in numbers] != list(range(len(numbers))):
        raise DataError(f"{shown(path)} does not number its classes 0, 1, 2, ...: write classes.txt beside it.")
    return ClassList(tuple(name for _, name in numbers), voc_palette(len(numbers)), {})
