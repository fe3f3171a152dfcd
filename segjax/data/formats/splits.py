"""Which pairs train and which test: by folders, by lists of names, or by a hash that is written down."""

import hashlib
import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.layouts import TEST_NAMES, TRAIN_NAMES, Found, Pair
from segjax.errors import DataError

TEST_SHARE = 0.2


class Splits(NamedTuple):
    """The pairs of a data set by what they are for."""

    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    by_hash: bool
    """Nothing said which pairs are for testing: a hash of their names did."""


def split(found: Found) -> Splits:
    """Match pictures with masks and share the pairs out; what is wrong with names and lists goes to `found.problems`.

    Folders named train, val or test decide; then lists in splits/ (or where the layout has them), one name a line; else
    the fifth of the pairs whose names have the lowest hashes tests, so that the split depends on nothing but the names.
    """
    test_folder = next((name for name in TEST_NAMES if name in found.folders), None)
    train_folder = next((name for name in TRAIN_NAMES if name in found.folders), None)
    if train_folder and test_folder:
        for name in sorted(set(found.folders) - {train_folder, test_folder}):
            found.notes.append(f"The split {name} is not used: {test_folder} is scored.")
        _lonely_masks(found)
        return Splits(_pairs(found, found.folders[train_folder]), _pairs(found, found.folders[test_folder]), False)
    if lists := _lists(found):
        return lists
    _lonely_masks(found)
    pairs = _pairs(found, sorted(found.images))
    if len(pairs) < 2:
        found.error("split", found.root, f"has {len(pairs)} pictures with a mask: training and testing need one each")
    ranked = sorted(pairs, key=lambda pair: hashlib.sha256(pair.key.encode("utf-8", "surrogateescape")).digest())
    test = set(ranked[: max(1, round(TEST_SHARE * len(pairs)))])
    return Splits(tuple(p for p in pairs if p not in test), tuple(p for p in pairs if p in test), True)


def write_lists(root: Path, splits: Splits) -> bool:
    """Write splits/train.txt and splits/test.txt, whole or not at all; False where the folder cannot be written."""
    try:
        (root / "splits").mkdir(exist_ok=True)
        for name, pairs in (("test", splits.test), ("train", splits.train)):
            draft = root / "splits" / f".{name}.txt.{os.getpid()}"
            draft.write_text("".join(f"{pair.key}\n" for pair in pairs), "utf-8", "surrogateescape")
            draft.replace(root / "splits" / f"{name}.txt")
    except OSError:
        return False
    return True


def _pairs(found: Found, keys: list[str]) -> tuple[Pair, ...]:
    pairs = []
    for key in keys:
        if key in found.masks:
            pairs.append(Pair(key, found.images[key], found.masks[key]))
        else:
            where = found.layout.masks.format(split=key.split("/")[0])
            found.error("missing mask", found.images[key], f"has no mask in {where}/: add it or take the picture away")
    return tuple(pairs)


def _lonely_masks(found: Found) -> None:
    for key in sorted(set(found.masks) - set(found.images)):
        found.error("missing picture", found.masks[key], "has no picture of its name: add it or take the mask away")


def _lists(found: Found) -> Splits | None:
    for folder in (found.root / "splits", found.root / found.layout.lists):
        train, test = _list(folder, TRAIN_NAMES, found), _list(folder, TEST_NAMES, found)
        if train is None and test is None:
            continue
        if train is None or test is None:
            missing = folder / ("train.txt" if train is None else "test.txt")
            found.error("split", missing, "is not there: write both lists, or neither to have them worked out")
            return Splits((), (), False)
        for key in sorted(set(train) & set(test)):
            found.error("split", folder, f"names '{key}' for training and for testing: take it out of one list")
        if unused := len(set(found.images) - set(train) - set(test)):
            found.notes.append(f"{unused} pictures are in no list of {shown(folder)} and are not used.")
        return Splits(_pairs(found, train), _pairs(found, test), False)
    return None


def _list(folder: Path, names: tuple[str, ...], found: Found) -> list[str] | None:
    """The keys in the first list of these names with a pair in it, or else in the first that is there."""
    lists = [(path, _keys(path, found)) for name in names if (path := folder / f"{name}.txt").is_file()]
    if not lists:
        return None
    pairs = set(found.images) & set(found.masks)
    path, keys = next(((path, keys) for path, keys in lists if pairs.intersection(keys)), lists[0])
    if not keys:
        found.error("split", path, "lists nothing: write names of pictures, one a line")
    for key in keys:
        if key not in found.images:
            found.error("split", path, f"names '{shown(key)}', which is no picture there: mend the name or take it out")
    return [key for key in keys if key in found.images]


def _keys(path: Path, found: Found) -> list[str]:
    try:
        lines = path.read_text("utf-8-sig", "surrogateescape").splitlines()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read ({error.strerror}): give permission with `chmod u+r`.") from None
    keys = [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]
    # Some tools list file names.
    stems = [key.rpartition(".")[0] if key.lower().endswith(SUFFIXES) else key for key in keys]
    return list(dict.fromkeys(key if key in found.images else stem for key, stem in zip(keys, stems, strict=True)))
