"""Which image files the given paths mean, and what their results are called."""

import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from segjax.data.formats.images import SUFFIXES, shown
from segjax.data.formats.scenes import ZARR
from segjax.errors import InferenceError
from segjax.inference.video import CODECS


class ImageFile(NamedTuple):
    """An image file, and the folder that its results' names are told from."""

    file: Path
    base: Path


def find_images(paths: Iterable[str | os.PathLike[str]], out: Path) -> tuple[list[ImageFile], list[str]]:
    """The image files that files, folders and globs name, each once, and a sentence for every path without any.

    A folder means the images in it and in its subfolders, known by their suffix; hidden ones are left out, and links
    to folders are not followed. A glob means what it matches, read the same way; `**` matches any number of folders.
    What lies in `out`, where that is below the folder or the fixed part of the glob, are results of an earlier run.
    """
    images: dict[str, ImageFile] = {}
    problems: list[str] = []
    results = os.path.abspath(out)
    for path in map(Path, paths):
        if os.path.isdir(path) and path.suffix.lower() != ZARR:
            found = _in_folder(path, problems)
            nothing = f"{shown(path)} holds no images ({' '.join(SUFFIXES)})."
        elif os.path.lexists(path) and path.suffix.lower() in CODECS:
            found, nothing = [], f"{shown(path)} is a video: name it by --video {shown(path)} --out OUT.mp4."
        elif os.path.lexists(path):
            found, nothing = [ImageFile(path, path.parent)], ""
        elif glob.has_magic(str(path)):
            found = _matching(path, problems)
            nothing = f"{shown(path)} matches no images ({' '.join(SUFFIXES)})."
        else:
            found, nothing = [], f"{shown(path)} is not there: check the name."
        found = [image for image in found if not _is_result(image, results)]
        if not found:
            problems.append(nothing)
        for image in found:
            images.setdefault(os.path.abspath(image.file), image)
    return list(images.values()), problems


def name_results(images: Sequence[ImageFile], endings: Sequence[str], out: Path) -> list[Path]:
    """A path below `out` for each image file, to which each of `endings` is added: the same for the same files.

    A result is called as its image file is, below the folder or the fixed part of the glob that it was found in. Where
    that gives two results one name, all files are called by their path below the deepest folder that holds all of
    them; and where it still does, as with a.jpg beside a.png, with their suffix.

    Raises:
        InferenceError: a result would overwrite one of the image files.
    """
    below_base = [file.relative_to(base) if file.is_relative_to(base) else Path(file.name) for file, base in images]
    absolute = [Path(os.path.abspath(file)) for file, _ in images]
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
                    f"{shown(out / f'{name}{ending}')} is one of the images to predict and would be overwritten: "
                    "give --out another folder."
                )
    return [out / name for name in names]


def name_images(images: Sequence[ImageFile]) -> list[str]:
    """What annotations call each image: its path below what it was found in, or below what holds all of them."""
    names = [os.path.relpath(file, base) for file, base in images]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([os.path.abspath(file.parent) for file, _ in images])
    return [os.path.relpath(file, common) for file, _ in images]


def _clash(names: Sequence[Path], endings: Sequence[str]) -> bool:
    results = [f"{name}{ending}".casefold() for name in names for ending in endings]  # as some file systems see them
    return len(set(results)) < len(results)


def _is_result(image: ImageFile, out: str) -> bool:
    file, base = map(os.path.abspath, image)
    return _below(out, base) and _below(file, out)


def _below(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _in_folder(folder: Path, problems: list[str]) -> list[ImageFile]:
    def unlisted(error: OSError) -> None:
        problems.append(
            f"{shown(error.filename)} cannot be listed ({error.strerror}): give permission or leave it out."
        )

    found = []
    for parent, folders, files in os.walk(folder, onerror=unlisted):
        arrays = [name for name in folders if name.lower().endswith(ZARR)]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in arrays)
        found += [ImageFile(Path(parent, name), folder) for name in sorted([*files, *arrays]) if _is_image(name)]
    return found


def _matching(pattern: Path, problems: list[str]) -> list[ImageFile]:
    fixed = Path()
    for part in pattern.parts:
        if glob.has_magic(part):
            break
        fixed /= part
    found = []
    for match in sorted(glob.glob(str(pattern), recursive=True)):
        if os.path.isdir(match) and Path(match).suffix.lower() != ZARR:
            found += [ImageFile(file, fixed) for file, _ in _in_folder(Path(match), problems)]
        elif _is_image(match):
            found.append(ImageFile(Path(match), fixed))
    return found


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not os.path.basename(name).startswith(".")
