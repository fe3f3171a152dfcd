"""Splits by groups that must not be torn apart, and folds for cross-validation, written as lists of names."""

import csv
import io
import os
import re
from collections import defaultdict
from pathlib import Path

from segjax.data.formats.held_out import TEST_SHARE, VAL_SHARE, by_hash, group_of, lowest_hashes
from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.layouts import find
from segjax.data.formats.problems import refuse
from segjax.data.formats.splits import Splits, pairs_of, write_lists
from segjax.errors import DataError

_LEAST = 3
"""Groups that train, validate and test."""


def write_splits(root: str | os.PathLike[str], groups: str | None = None, folds: int | None = None) -> list[Path]:
    """Share the images of a folder out to train, validate and test, and write that into lists of names.

    By the lowest hashes of the groups' names, so that the same folder is always shared out alike: a fifth of the groups
    tests, and a tenth of the others validates. Of `folds` each tests on its own part, and all images are tested once.

    Args:
        root: a folder of images and masks.
        groups: what of a name says the group: a regular expression, of which the first bracket counts, such as
            "(patient[0-9]+)_"; or a CSV file, a name and a group a line. By default the tiles of one image.
        folds: how many, in splits/fold1 and so on, for `--fold N`; one split in splits/ where none are asked for.

    Returns:
        The folders with train.txt, val.txt and test.txt.

    Raises:
        DataError: the folder has errors or lists already, a name has no group, there are too few groups, or less than
            two folds.
    """
    root = Path(root)
    if folds is not None and folds < 2:
        raise DataError(f"--folds is {folds}: at least 2 are needed, or nothing is left to train on.")
    if groups is not None and not groups.strip():
        raise DataError("--groups says nothing: give a regular expression or a CSV file, or leave it out.")
    found = find(root)
    pairs = pairs_of(found, sorted(found.images))
    refuse(root, found.problems)
    if groups and groups.lower().endswith(".csv") and not Path(groups).is_file():
        raise DataError(f"{groups} is not there: give a CSV file of names and groups, or a regular expression.")
    said = _read(Path(groups)) if groups and Path(groups).is_file() else None
    members: defaultdict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        members[_group(pair.key, groups, said)].append(place)
    if len(members) < max(_LEAST, folds or 0):
        raise DataError(
            f"{shown(root)} has {len(members)} groups of images, such as '{next(iter(members))}', and "
            f"{max(_LEAST, folds or 0)} are needed: say by --groups what of a name is its group, '.*' for all of it."
        )
    names = sorted(members)
    parts = [lowest_hashes(names, TEST_SHARE)] if folds is None else _folds(names, folds)
    folders = [root / "splits" / (f"fold{number}" if folds else "") for number in range(1, len(parts) + 1)]
    if there := next((folder / "train.txt" for folder in folders if (folder / "train.txt").exists()), None):
        raise DataError(f"{shown(there)} is there already: take its folder away to share the images out anew.")
    for folder, testing in zip(folders, parts, strict=True):
        rest = [name for number, name in enumerate(names) if number not in testing]
        validating = {rest[place] for place in lowest_hashes(rest, VAL_SHARE)}
        test = [place for number in testing for place in members[names[number]]]
        val = [place for name in validating for place in members[name]]
        train = sorted(set(range(len(pairs))) - set(test) - set(val))
        uses = [tuple(pairs[place] for place in sorted(part)) for part in (train, val, test)]
        if not write_lists(folder, Splits(uses[0], uses[1], uses[2])):
            raise DataError(f"{shown(folder)} cannot be written: give permission with `chmod u+w`.")
    return folders


def _folds(names: list[str], count: int) -> list[set[int]]:
    """Where the names of every fold stand: dealt out in the order of their hashes."""
    order = by_hash(names)
    return [set(order[fold::count]) for fold in range(count)]


def _group(key: str, groups: str | None, said: dict[str, str] | None) -> str:
    if groups is None:
        return group_of(key)
    if said is not None:
        name = next((name for one in (key, Path(key).name) for name in (one, one.strip()) if name in said), None)
        if name is None:
            raise DataError(f"{groups} has no line of '{shown(key)}': give it one, `{shown(key)},group`.")
        return said[name]
    try:
        match = re.search(groups, key)
    except re.error as error:
        raise DataError(f"{groups!r} is no regular expression, and no file ({error}): mend it.") from None
    if match is None:
        raise DataError(f"{groups!r} finds no group in '{shown(key)}': write one that fits every name.")
    name = match[1] if match.groups() else match[0]
    if not name:
        raise DataError(f"{groups!r} finds nothing in '{shown(key)}', which would put all such images into one group.")
    return name


def _read(path: Path) -> dict[str, str]:
    """The group of every name, without the ending of a file."""
    try:
        rows = [row for row in csv.reader(io.StringIO(path.read_text("utf-8-sig"))) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{shown(path)} cannot be read ({error}): save it as CSV, a name and a group a line.") from None
    if wrong := next((row for row in rows if len(row) != 2), None):
        raise DataError(f"{shown(path)} has the line {','.join(wrong)!r}: write a name and a group a line.")
    if empty := next((name for name, group in rows if not group.strip()), None):
        raise DataError(f"{shown(path)} gives '{empty}' no group: write one for every name, its own where it is alone.")
    names = [name.strip() for name, _ in rows]
    stems = [name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name for name in names]
    groups: dict[str, str] = {}
    for stem, (_, group) in zip(stems, rows, strict=True):
        if groups.setdefault(stem, group.strip()) != group.strip():
            raise DataError(
                f"{shown(path)} puts '{stem}' into two groups, {groups[stem]} and {group.strip()}: mend it."
            )
    return groups
