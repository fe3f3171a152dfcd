"""Files of a folder or of a bucket, alike: read by range, and written so that none is ever there in part."""

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeGuard

from segjax.cache.store import first_line
from segjax.errors import DataError

TRIES = 6
FIRST_PAUSE = 0.5
"""Seconds after the first try that failed; every other pause is twice as long."""
STALLED = 60.0
"""Seconds in which an answer must have come."""
SLOWEST = 2**18
"""Bytes a second that are waited for beyond that."""

_NO_BUCKET = "bucket does not exist"
"""What S3 says beyond that a file is not there; others say it of what is written alone."""
_SETTINGS: dict[str, Any] = {"s3": {"config_kwargs": {"retries": {"mode": "standard", "max_attempts": 1}}}}


class Files(Protocol):
    """Files by name, of any thread."""

    @property
    def root(self) -> str:
        """The folder, as sentences call it."""
        ...

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Some bytes of a file, or all.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def size(self, name: str) -> int:
        """How many bytes a file has.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def write(self, name: str, file: Path) -> None:
        """Put a file there, whole or not at all."""
        ...

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        ...


def in_bucket(said: object) -> TypeGuard[str]:
    """Whether that names a folder of a bucket, and none of this machine.

    Raises:
        DataError: it is an address without one of its slashes, of which a folder would be made here.
    """
    _refuse_one_slash(said)
    return isinstance(said, str) and said.startswith(("s3://", "gs://"))


def _refuse_one_slash(said: object) -> None:
    if lost := re.match(r"(s3|gs):[/\\](?!/)", str(said)):
        whole = f"{lost[1]}://{str(said)[lost.end() :]}"
        raise DataError(f"{said} has one slash where an address has two, as in a Path of one: give the text {whole}.")


def files_in(root: str | os.PathLike[str]) -> Files:
    """The files below a folder or an address such as `s3://bucket/folder` or `gs://bucket/folder`.

    A bucket is asked by fsspec, an extra: `segjax[buckets]`. A connection that stalls, is refused or breaks off is
    tried again, with pauses that grow.

    Raises:
        DataError: the package for such addresses is missing, or it is none; and, later, the bucket, the network or a
            permission is missing.
    """
    _refuse_one_slash(root)
    scheme, separator, place = os.fspath(root).partition("://")
    if not separator:
        return Folder(Path(root))
    address = f"{scheme}://{place.rstrip('/')}"
    if address.endswith("/"):
        raise DataError(f"{address} names no bucket: give s3://BUCKET/FOLDER or gs://BUCKET/FOLDER.")
    try:
        import fsspec

        client = fsspec.filesystem(scheme, skip_instance_cache=True, **_SETTINGS.get(scheme, {}))
    except ImportError as error:
        raise DataError(f"{address} needs a package ({first_line(error)}): `pip install 'segjax[buckets]'`.") from None
    except ValueError as error:
        raise DataError(f"{address} cannot be asked ({first_line(error)}): give s3:// or gs://.") from None
    client.retries = 1  # ours are enough
    return Bucket(address, client)


class Folder(NamedTuple):
    """Files of this machine, or of what is mounted on it."""

    path: Path

    @property
    def root(self) -> str:
        """The folder."""
        return str(self.path)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Some bytes of a file, or all."""
        with (self.path / name).open("rb") as file:
            file.seek(start)
            return file.read(-1 if end is None else end - start)

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return (self.path / name).stat().st_size

    def write(self, name: str, file: Path) -> None:
        """Put a file there, whole or not at all."""
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.path, prefix=".writing-") as aside:
            beside = Path(aside, name)
            beside.write_bytes(file.read_bytes())
            beside.replace(self.path / name)

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        (self.path / name).unlink(missing_ok=True)


class Bucket(NamedTuple):
    """Files behind an address, by one of fsspec's clients."""

    root: str
    client: Any

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Some bytes of a file, or all."""
        if end is None:
            return self._ask("read", self.client._cat_file, name)
        return self._ask("read", partial(self.client._cat_file, start=start, end=end), name, most=end - start)

    def size(self, name: str) -> int:
        """How many bytes a file has."""
        return self._ask("read", self.client._info, name)["size"]

    def write(self, name: str, file: Path) -> None:
        """Put a file there; buckets show an object when all of it has come."""
        content = file.read_bytes()
        self._ask("written", lambda address: self.client._pipe_file(address, content), name, most=len(content))

    def remove(self, name: str) -> None:
        """Take a file away, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._ask("removed", self.client._rm_file, name)

    def _ask(self, done: str, call: Callable[[str], Any], name: str, most: int = 0) -> Any:
        """What a call of the client gives for a file, of at most so many bytes; again where the network fails."""
        from fsspec.asyn import sync

        address, seconds = f"{self.root}/{name}", STALLED + most / SLOWEST
        why = ""
        for number in range(TRIES):
            if number:
                time.sleep(FIRST_PAUSE * 2 ** (number - 1))
            try:
                answer = sync(self.client.loop, call, address, timeout=seconds)
            except FileNotFoundError as error:
                if done == "written" or _NO_BUCKET in str(error):
                    raise DataError(
                        f"{address} cannot be {done} ({first_line(error)}): make the bucket, or mend its name."
                    ) from error
                raise
            except TimeoutError:
                why = f"no answer came within {seconds:.3g} s"
            except Exception as error:  # what clients raise of a network has no common type
                why = first_line(error)
                if isinstance(error, PermissionError) or "Credentials" in type(error).__name__:
                    raise DataError(
                        f"{address} may not be {done} ({why}): log in to the bucket, or ask its owner for access."
                    ) from error
            else:
                if not isinstance(answer, bytes) or not most or len(answer) == most:
                    return answer
                why = f"{len(answer)} of {most} bytes came"
        raise DataError(
            f"{address} could not be {done} in {TRIES} tries ({why}): check the address and the network, and run again."
        )
