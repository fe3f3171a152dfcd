"""Which pictures the given paths mean, and what their results are called."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from segjax.data.formats.images import SUFFIXES, shown
from segjax.errors import InferenceError


class Picture(NamedTuple):
    """A picture file, and the folder that its results' names are told from."""

    file: Path
    base: Path


def find_pictures(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Picture], list[str]]:
    """The picture files that files, folders and globs name, each once, and a sentence for every path without any.

    A folder means the pictures in it and in its subfolders, known by their suffix; hidden ones are left out, and links
    to folders are not followed. A glob means what it matches, read the same way; `**` matches any number of folders.
    """
    pictures: dict[str, Picture] = {}
    problems: list[str] = []
    for path in map(Path, paths):
        if os.path.isdir(path):
            found = _in_folder(path, problems)
            nothing = f"{shown(path)} holds no pictures ({' '.join(SUFFIXES)})."
        elif os.path.lexists(path):
            found, nothing = [Picture(path, path.parent)], ""
        elif glob.has_magic(str(path)):
            found = _matching(path, problems)
            nothing = f"{shown(path)} matches no pictures ({' '.join(SUFFIXES)})."
        else:
            found, nothing = [], f"{shown(path)} is not there: check the name."
        if not found:
            problems.append(nothing)
        for picture in found:
            pictures.setdefault(os.path.abspath(picture.file), picture)
    return list(pictures.values()), problems


def name_results(pictures: Sequence[Picture], endings: Sequence[str], out: Path) -> list[Path]:
    """A path below `out` for each picture, to which each of `endings` is added: the same for the same pictures.

    A result is called as its picture is, below the folder or the fixed part of the glob that it was found in. Where
    that gives two results one name, all pictures are called by their path below the deepest folder that holds all of
    them; and where it still does, as with a.jpg beside a.png, with their suffix. Raises `InferenceError` where a result
    would overwrite one of the pictures.
    """
    below_base = [file.relative_to(base) if file.is_relative_to(base) else Path(file.name) for file, base in pictures]
    absolute = [Path(os.path.abspath(file)) for file, _ in pictures]
    common = os.path.commonpath([file.parent for file in absolute]) if absolute else ""
    below_common = [file.relative_to(common) for file in absolute]
    names = [name.with_suffix("") for name in below_base]
    if _clash(names, endings):
        names = [name.with_suffix("") for name in below_common]
    if _clash(names, endings):
        names = below_common
    inputs = {file.resolve() for file in absolute}
    for name in names:
        for ending in endings:
            if (out / f"{name}{ending}").resolve() in inputs:
                raise InferenceError(
                    f"{shown(out / f'{name}{ending}')} is one of the pictures to predict and would be overwritten: "
                    "give --out another folder."
                )
    return [out / name for name in names]


def _clash(names: Sequence[Path], endings: Sequence[str]) -> bool:
    results = [f"{name}{ending}".casefold() for name in names for ending in endings]  # as some file systems see them
    return len(set(results)) < len(results)


def _in_folder(folder: Path, problems: list[str]) -> list[Picture]:
    def unlisted(error: OSError) -> None:
        problems.append(
            f"{shown(error.filename)} cannot be listed ({error.strerror}): give permission or leave it out."
        )

    found = []
    for parent, folders, files in os.walk(folder, onerror=unlisted):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Picture(Path(parent, name), folder) for name in sorted(files) if _is_picture(name)]
    return found


def _matching(pattern: Path, problems: list[str]) -> list[Picture]:
    fixed = Path()
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        fixed /= part
    found = []
    for match in sorted(glob.glob(str(pattern), recursive=True)):
        if os.path.isdir(match):
            found += [Picture(file, fixed) for file, _ in _in_folder(Path(match), problems)]
        elif _is_picture(match):
            found.append(Picture(Path(match), fixed))
    return found


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not os.path.basename(name).startswith(".")
