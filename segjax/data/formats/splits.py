"""Which pairs train, validate and test: by folders, by lists of names, or by a hash that is written down."""

import itertools
import os
import unicodedata
from collections.abc import Container, Iterable
from pathlib import Path
from typing import NamedTuple

from segjax.data.formats.held_out import TEST_SHARE, held_out_note, hold_out
from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.layouts import TEST_NAMES, TRAIN_NAMES, VAL_NAMES, FoundImages, ImageAndMask
from segjax.errors import DataError, counted


class Splits(NamedTuple):
    """The pairs of a data set by what they are for."""

    train: tuple[ImageAndMask, ...] = ()
    val: tuple[ImageAndMask, ...] = ()
    test: tuple[ImageAndMask, ...] = ()
    by_hash: bool = False
    """Nothing said which pairs are for testing: a hash of their names did."""

    @property
    def note(self) -> str:
        """What a hash decided, to be said aloud."""
        count = len(self.train) + len(self.val) + len(self.test)
        return (
            f"No list says which images validate and which test: {len(self.val)} and {len(self.test)} of {count} do, "
            "chosen by a hash of their names; training and scoring write them to splits/."
        )


def split(found: FoundImages, fold: int | None = None) -> Splits:
    """Match images with masks and share the pairs out; what is wrong with names and lists goes to `found.problems`.

    Folders named train, val or test decide; then lists in splits/ (or where the layout has them), one name a line; else
    the fifth of the pairs whose names have the lowest hashes tests, so that the split depends on nothing but the names;
    tiles of one image test together. A folder for testing or validation beside none for training is an error.
    Where there is val and no test, val tests, as the sets are scored that keep the masks of theirs for testing to
    themselves. What then has no validation gets a tenth of the training pairs for it, by a hash of their names, tiles
    of one image together: never the ones that test.

    `fold` takes the lists in splits/fold1 and so on, whatever else there is.

    Raises:
        DataError: a list cannot be read, or there is none of that fold.
    """
    if fold is not None:
        if lists := _lists(found, [found.root / "splits" / f"fold{fold}"]):
            return lists
        there = sorted(path.name for path in (found.root / "splits").glob("fold*"))
        known = f"it has {', '.join(there)}" if there else "`segjax data split PATH --folds K` writes K of them"
        raise DataError(f"{shown(found.root)} has no splits/fold{fold} with train.txt and test.txt: {known}.")
    train_folder = _first(TRAIN_NAMES, found.folders)
    val_folder, test_folder = _val_and_test(found.folders)
    if train_folder and test_folder:
        _say_what_tests(found, test_folder)
        used = {train_folder, val_folder, test_folder}
        for name in sorted(set(found.folders) - used):
            found.notes.append(f"The split {name} is not used: {test_folder} is scored.")
        _lonely_masks(found)
        val = pairs_of(found, found.folders[val_folder]) if val_folder else None
        train, test = (pairs_of(found, found.folders[name]) for name in (train_folder, test_folder))
        return _complete(found, train, val, test)
    if lists := _lists(found, [found.root / "splits", found.root / found.layout.lists]):
        return lists
    if test_folder and not train_folder:  # a hash would train on what someone has put aside
        found.error(
            "split",
            found.root,
            f"has a folder {test_folder} and none for training: put what trains into one called train, or take the "
            "images out of folders of such names",
        )
    _lonely_masks(found)
    pairs = pairs_of(found, sorted(found.images))
    if len(pairs) < 3:
        found.error(
            "split",
            found.root,
            f"has {counted(len(pairs), 'image')} with a mask: training, validation and testing need one each",
        )
    rest, test = hold_out(pairs, lambda pair: pair.key, TEST_SHARE)
    train, val = hold_out(rest, lambda pair: pair.key)
    return Splits(tuple(train), tuple(val), tuple(test), by_hash=True)


def write_lists(folder: Path, splits: Splits) -> bool:
    """Write train.txt, val.txt and test.txt into a folder, each whole; False where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, pairs in (("test", splits.test), ("val", splits.val), ("train", splits.train)):
            draft = folder / f".{name}.txt.{os.getpid()}"
            draft.write_text("".join(f"{pair.key}\n" for pair in pairs), "utf-8", "surrogateescape")
            draft.replace(folder / f"{name}.txt")
    except OSError:
        return False
    return True


def _first(names: Iterable[str], there: Container[str]) -> str | None:
    return next((name for name in names if name in there), None)


def _val_and_test(there: Container[str]) -> tuple[str | None, str | None]:
    """Which names of those that are there validate and test: validation tests where nothing else does."""
    val, test = _first(VAL_NAMES, there), _first(TEST_NAMES, there)
    return (val, test) if test else (None, val)


def _say_what_tests(found: FoundImages, name: str) -> None:
    if name in VAL_NAMES:
        found.notes.append(f"Nothing is for testing but {name}, which is scored once, at the end.")


def _complete(
    found: FoundImages,
    train: tuple[ImageAndMask, ...],
    val: tuple[ImageAndMask, ...] | None,
    test: tuple[ImageAndMask, ...],
) -> Splits:
    """The splits, with validation cut from training where there is none."""
    if val is not None:
        return Splits(train, val, test)
    kept, held = hold_out(train, lambda pair: pair.key)
    found.notes.append(held_out_note(shown(found.root), held, kept))
    if train and not held:
        found.error("split", found.root, "has 1 image to train on: training and validation need one each")
    return Splits(tuple(kept), tuple(held), test)


def pairs_of(found: FoundImages, keys: list[str]) -> tuple[ImageAndMask, ...]:
    """The images of some keys with their masks; one without goes to `found.problems`."""
    pairs = []
    for key in keys:
        if key in found.masks:
            labels = tuple(files.get(key) for files in found.label_files.values())
            pairs.append(ImageAndMask(key, found.images[key], found.masks[key], labels))
        else:
            where = found.layout.masks.format(split=key.split("/")[0])
            found.error("missing mask", found.images[key], f"has no mask in {where}/: add it or take the image away")
    return tuple(pairs)


def _lonely_masks(found: FoundImages) -> None:
    for key in sorted(set(found.masks) - set(found.images)):
        found.error("missing image", found.masks[key], "has no image of its name: add it or take the mask away")


def _lists(found: FoundImages, folders: Iterable[Path]) -> Splits | None:
    for folder in folders:
        train, val = _list(folder, TRAIN_NAMES, found), _list(folder, VAL_NAMES, found)
        test = _list(folder, TEST_NAMES, found)
        if test is None:
            val, test = None, val
            if train is not None and test is not None:
                _say_what_tests(found, "val")
        if train is None and test is None:
            continue
        if train is None or test is None:
            missing = folder / ("train.txt" if train is None else "test.txt")
            found.error("split", missing, "is not there: write both lists, or neither to have them worked out")
            return Splits()
        uses = (("training", train), ("validation", val or []), ("testing", test))
        for (use, one), (other_use, other) in itertools.combinations(uses, 2):
            for key in sorted(set(one) & set(other)):
                found.error("split", folder, f"names '{key}' for {use} and for {other_use}: take it out of one list")
        if unused := len(set(found.images) - set(train) - set(val or ()) - set(test)):
            found.notes.append(f"Not used, as no list of {shown(folder)} has them: {counted(unused, 'image')}.")
        pairs = None if val is None else pairs_of(found, val)
        return _complete(found, pairs_of(found, train), pairs, pairs_of(found, test))
    return None


def _list(folder: Path, names: tuple[str, ...], found: FoundImages) -> list[str] | None:
    """The keys in the first list of these names with a pair in it, or else in the first that is there."""
    lists = [(path, _keys(path, found)) for name in names if (path := folder / f"{name}.txt").is_file()]
    if not lists:
        return None
    pairs = set(found.images) & set(found.masks)
    path, keys = next(((path, keys) for path, keys in lists if pairs.intersection(keys)), lists[0])
    if not keys:
        found.error("split", path, "lists nothing: write names of images, one a line")
    for key in keys:
        if key not in found.images:
            found.error("split", path, f"names '{shown(key)}', which is no image there: mend the name or take it out")
    return [key for key in keys if key in found.images]


def _keys(path: Path, found: FoundImages) -> list[str]:
    try:
        # Names may have what else `splitlines` takes for the end of a line.
        lines = path.read_text("utf-8-sig", "surrogateescape").split("\n")
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read ({error.strerror}): give permission with `chmod u+r`.") from None
    whole = [unicodedata.normalize("NFC", line) for line in lines if line.strip()]
    keys = [line if line in found.images else line.strip() for line in whole]  # or have spaces at their ends
    # Some tools list file names.
    stems = [key.rpartition(".")[0] if key.lower().endswith(SUFFIXES) else key for key in keys]
    return list(dict.fromkeys(key if key in found.images else stem for key, stem in zip(keys, stems, strict=True)))
