"""Run folders in buckets: a run is trained in a folder of this machine, and a thread brings to the bucket what is new.

Objects of a bucket cannot be appended to or renamed, which a run folder needs, and training never waits for a network.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from segjax.cache import data_dir
from segjax.cache.files import Files, files_in, in_bucket
from segjax.errors import DataError, ExperimentError, UserError
from segjax.train.run import resuming, write_json

EVERY = 30.0
"""Seconds between two looks at what is new."""
INDEX = "index.json"
"""Of the bucket: which files belong to the run, written when all of them are there."""
_Files = dict[str, tuple[int, int]]
"""Size and time of change of files, by their names below the folder."""


def brought(said: str | os.PathLike[str]) -> Path:
    """The folder of this machine for a run folder, or one inside of it; of a bucket it is brought here where it is new.

    Raises:
        ExperimentError: the bucket holds no run there.
        DataError: the bucket cannot be read.
    """
    if not in_bucket(said):
        return Path(said)
    parts = str(said).rstrip("/").split("/")
    for end in range(len(parts), 3, -1):  # a seed or a checkpoint may be named, inside of what has an index
        mirror = Mirror("/".join(parts[:end]))
        if mirror.pull():
            return mirror.folder.joinpath(*parts[end:])
    raise ExperimentError(f"{said} holds no run: name the address that `segjax train` printed on its last line.")


def on_disk(said: str | Path | None) -> Path | None:
    """The run folder of several processes, which share no folder of a machine that a bucket's is trained in.

    Raises:
        ExperimentError: it is in a bucket, or an address of something else.
    """
    if isinstance(said, str) and re.match(r"\w{2,}://", said) and not in_bucket(said):
        raise ExperimentError(
            f"{said} is an address that no run can be kept at: give --out a folder, s3://BUCKET/FOLDER or "
            "gs://BUCKET/FOLDER."
        )
    if in_bucket(said):
        raise ExperimentError(
            f"{said} is in a bucket, and runs of several processes need a folder that all of them share: give --out a "
            "folder of a shared disk, or mount the bucket."
        )
    return None if said is None else Path(said)


@contextlib.contextmanager
def mirrored(said: str | Path | None) -> Iterator[Path | None]:
    """The folder of this machine to train in for a run folder; while entered, a bucket's gets what is new in it.

    What sentences say of the folder here, they say of the address.

    Raises:
        ExperimentError: several processes train, which share no folder; it was removed from the bucket alone; or
            another machine has written there since.
        DataError: the bucket cannot be read, or at the end not be written; the folder here has all then.
    """
    if not in_bucket(said) or jax.process_count() > 1:
        yield on_disk(said)
        return
    mirror = Mirror(said)
    if not mirror.pull() and len(mirror.known["marks"]) == 1:
        raise ExperimentError(
            f"{said} was removed, and {mirror.folder} still holds what was there: remove that as well, or give --out "
            "another name."
        )
    stop = threading.Event()
    thread = threading.Thread(target=mirror.follow, args=(stop,), name=f"to {said}", daemon=True)
    thread.start()
    try:
        yield mirror.folder
    except BaseException as error:
        stop.set()
        thread.join()
        try:
            mirror.finish()
        except UserError as other:
            print(other, file=sys.stderr)  # what ended the run is said last
        if isinstance(error, UserError):
            raise type(error)(str(error).replace(str(mirror.folder), said)) from error
        raise
    stop.set()
    thread.join()
    mirror.finish()


class Mirror:
    """A run folder of this machine and the one in a bucket that it is brought to.

    Raises:
        ExperimentError: the address names no folder of a bucket.
    """

    def __init__(self, address: str) -> None:
        self.address: str = address.rstrip("/")
        parts = self.address.replace("://", "/").split("/")
        if len(parts) < 3 or not all(parts) or {".", ".."} & {*parts}:
            raise ExperimentError(f"{address} names no folder of a bucket: give s3://BUCKET/FOLDER, or gs://.")
        self.folder: Path = data_dir().joinpath("runs", *parts)
        self._files: Files = files_in(self.address)
        self._notes: Path = self.folder.with_name(f".{self.folder.name}.json")
        """What was brought there last, beside the folder."""

    @property
    def known(self) -> dict[str, Any]:
        """The marks that the bucket's index may have if it is ours, one but while it is written, and what is there."""
        return json.loads(self._notes.read_text()) if self._notes.exists() else {"marks": [], "files": {}}

    def pull(self) -> bool:
        """Bring the run here, unless what is here is that, or that and more; returns whether there is one at all."""
        index = self._index()
        if index is None:
            return False
        if index["mark"] in self.known["marks"] and self.folder.exists():
            return True
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".bringing-") as aside:
            print(f"Bringing {self.address} here ...", file=sys.stderr)
            for name in index["files"]:
                self._bring(name, Path(aside, "run", name))
            if self._complete() != self._there():  # what a machine had that was taken for lost
                kept = self.folder.with_name(f"{self.folder.name}.{secrets.token_hex(4)}")
                self.folder.rename(kept)
                print(f"Another machine went on with it; what was only here is kept in {kept}.", file=sys.stderr)
            shutil.rmtree(self.folder, ignore_errors=True)
            Path(aside, "run").rename(self.folder)
        self._note([index["mark"]], self._complete())
        return True

    def follow(self, stop: threading.Event) -> None:
        """Bring there what is new until `stop` is set; says what goes wrong, once, and goes on."""
        said = ""
        while not stop.wait(EVERY):
            try:
                self.push()
                said = ""
            except (UserError, OSError) as error:
                if str(error) != said:
                    print(f"{str(error).rstrip('.')}. The run goes on in {self.folder}.", file=sys.stderr)
                said = str(error)

    def finish(self) -> None:
        """Bring there all that is left.

        Raises:
            DataError: the bucket cannot be written; the sentence says where the run is.
            ExperimentError: as `push`.
        """
        print(f"Bringing what is new to {self.address} ...", file=sys.stderr)
        try:
            self.push()
        except (DataError, OSError) as error:
            raise DataError(
                f"{str(error).rstrip('.')}. What was trained is whole in {self.folder}, and "
                f"`{resuming(self.address)}` on this machine brings it there."
            ) from error

    def push(self) -> None:
        """Bring there what is complete and new, then the index of it, and take away what is no longer in the folder.

        So the bucket holds all files of one index at any instant, whenever this ends.

        Raises:
            ExperimentError: another machine has written there since.
        """
        there = self._there()
        if self._complete() == there:
            return
        marks, index = self.known["marks"], self._index()
        if index is not None and index["mark"] not in marks:
            raise ExperimentError(
                f"{self.address} was written to by another machine since this one looked; what was trained here is "
                f"whole in {self.folder}: stop one of the two, or give --out another name."
            )
        sent = {} if index is None else there  # it may have been emptied
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".sending-") as aside:
            found = self._kept(Path(aside), sent)
            for name in sorted(found, key=lambda name: (_checkpoint(name) is None, name)):
                if found[name] != sent.get(name):
                    self._files.write(name, Path(aside, name))
        mark = secrets.token_hex(8)
        unsure: _Files = dict.fromkeys(found, (-1, -1))
        self._note([*marks, mark], unsure | there)
        if found:
            self._write_index({"mark": mark, "files": sorted(found)})
        else:
            self._files.remove(INDEX)
        for name in there.keys() - found.keys():
            self._files.remove(name)
        self._note([mark], found)

    def _there(self) -> _Files:
        """What was brought there last."""
        return {name: (size, changed) for name, (size, changed) in self.known["files"].items()}

    def _complete(self) -> _Files:
        """The files that are there whole; of what is hidden or being written, none."""
        found: _Files = {}
        for path in sorted(self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            if any(part.startswith(".") or ".orbax-checkpoint-tmp" in part for part in parts):
                continue
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    about = path.stat()
                    found["/".join(parts)] = (about.st_size, about.st_mtime_ns)
        return found

    def _kept(self, aside: Path, sent: _Files) -> _Files:
        """The files that are there whole, those that are new in `aside` too, where training neither removes nor changes
        them while they are sent."""
        found = self._complete()
        for name in [name for name in found if found[name] != sent.get(name)]:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                _keep(self.folder / name, aside / name, written_once=_checkpoint(name) is not None)
        # What is being removed is left out with the rest of its checkpoint.
        gone = {_checkpoint(name) or name for name in found.keys() - self._complete().keys()}
        return {name: one for name, one in found.items() if not gone & {name, _checkpoint(name)}}

    def _bring(self, name: str, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        size = self._files.size(name)
        file.write_bytes(self._files.read(name, 0, size) if size else b"")

    def _index(self) -> dict[str, Any] | None:
        try:
            text = self._files.read(INDEX)
        except FileNotFoundError:
            return None
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            index = json.loads(text)
            if isinstance(index["mark"], str) and all(_inside(name) for name in index["files"]):
                return index
        raise DataError(f"{self.address}/{INDEX} is none that a run wrote: give the address of a run.")

    def _write_index(self, index: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as aside:
            file = Path(aside, INDEX)
            file.write_text(json.dumps(index))
            self._files.write(INDEX, file)

    def _note(self, marks: list[str], files: _Files) -> None:
        if not files:
            self._notes.unlink(missing_ok=True)
            return
        write_json(self._notes.parent, self._notes.name, {"marks": marks, "files": files})


def _keep(file: Path, copy: Path, *, written_once: bool) -> None:
    if written_once:
        with contextlib.suppress(OSError):  # a file system without links, or a file that is gone
            os.link(file, copy)
            return
    shutil.copyfile(file, copy)


def _inside(name: str) -> bool:
    return not name.startswith("/") and "\\" not in name and not {"", ".", ".."} & {*name.split("/")}


def _checkpoint(name: str) -> str | None:
    """The folder of the checkpoint that a file belongs to, if it belongs to one."""
    parts = name.split("/")
    if "checkpoints" not in parts[:-2]:
        return None
    return "/".join(parts[: parts.index("checkpoints") + 2])
