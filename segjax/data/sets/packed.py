"""A data set that `segjax data pack` wrote, read from a folder or a bucket: record by record, in any order."""

import bisect
import hashlib
import itertools
import json
import os
import queue
import shutil
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, get_args

from segjax.cache.files import Files, Folder, files_in
from segjax.cache.store import data_dir, store, unwritable
from segjax.data.augment import Augment
from segjax.data.dataset import Dataset
from segjax.data.formats.bands import Bands
from segjax.data.formats.held_out import say_once
from segjax.data.formats.shards import Shard, decoded
from segjax.data.record import Record, Split, refuse_unknown_split
from segjax.data.statistics import Statistics
from segjax.errors import DataError
from segjax.strict_json import frozen

INDEX = "index.json"
"""Written last, so that what has one is whole."""
FORMAT = "segjax packed 1"
_PART = 2**23
"""Bytes of a shard that are asked for at once."""


@dataclass(frozen=True)
class PackedDefaults:
    """What a packed set says of itself: plain numbers and names, which a run can keep."""

    name: str
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    attribute_names: tuple[str, ...]
    multilabel: bool
    statistics: Statistics | None
    bands: Bands | None
    augment: Augment | None
    crop: int | None
    """Height and width of training crops, where the source says it beside its augmentation."""
    class_weights: tuple[float, ...]
    """By median frequency, of a folder; of others none."""
    notes: ClassVar[tuple[str, ...]] = ()
    """Nothing is guessed."""

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "PackedDefaults":
        """Make it again of what `dataclasses.asdict` gave, after JSON turned its tuples into lists."""
        plain = frozen(kept)
        parts = {"statistics": Statistics, "bands": Bands, "augment": Augment}
        return cls(**plain | {name: make(**plain[name]) for name, make in parts.items() if plain[name] is not None})


def packed(root: str | os.PathLike[str], defaults: PackedDefaults | None = None) -> Dataset:
    """Make a data set of what `segjax data pack` wrote: the same records as those of its source, bit for bit.

    Shards of a bucket are kept in `packed` of `data_dir()`, each when something of it was first asked for, where they
    take at most half of the room that is left there; otherwise every record is read by its range of bytes.

    Args:
        root: the folder, or an address such as `s3://bucket/folder` or `gs://bucket/folder`.
        defaults: what `packed_defaults` found before; with it nothing is read until the data set is opened.

    Raises:
        DataError: here (without `defaults`) or on opening: nothing was packed there, or not all of it, or it cannot be
            read.

    Examples:
        >>> record: data.Record = {"image": np.zeros((8, 8, 3), np.uint8), "mask": np.zeros((8, 8), np.uint8)}
        >>> colours = (0, 0, 0), (0, 255, 0)
        >>> mine = data.Dataset("mine", ("ground", "tree"), colours, open=lambda split: [record] * 4)
        >>> data.pack(mine, "packed").records["train"]
        4
        >>> data.packed("packed").class_names
        ('ground', 'tree')
    """
    known = defaults or packed_defaults(root)

    def open_split(split: str) -> PackedSource:
        refuse_unknown_split(known.name, split)
        files, there, shards = _index(root)
        if (there.class_names, there.multilabel) != (known.class_names, known.multilabel):
            found, expected = ", ".join(there.class_names), ", ".join(known.class_names)
            raise DataError(f"{files.root} has the classes {found} where {expected} were expected: name that set.")
        return PackedSource(files, shards[split])

    return Dataset(
        known.name,
        known.class_names,
        known.palette,
        open_split,
        attribute_names=known.attribute_names,
        statistics=known.statistics,
        augment=known.augment,
        multilabel=known.multilabel,
        bands=known.bands,
    )


def packed_defaults(root: str | os.PathLike[str]) -> PackedDefaults:
    """What a packed set says of itself.

    Raises:
        DataError: as `packed`.
    """
    return _index(root)[1]


def _index(root: str | os.PathLike[str]) -> tuple[Files, PackedDefaults, dict[str, tuple[Shard, ...]]]:
    """Where a set is, what it says of itself, and the shards of its splits."""
    files = files_in(root)
    try:
        index = json.loads(files.read(INDEX))
        if (form := index["format"]) != FORMAT:
            raise DataError(f"{files.root} holds '{form}' where '{FORMAT}' is read: pack the set again.")
        splits = {split: index["splits"][split] for split in get_args(Split)}
        shards = {split: tuple(Shard(**frozen(shard)) for shard in each) for split, each in splits.items()}
        return files, PackedDefaults.from_json(index["about"]), shards
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(
            f"{files.root} has no {INDEX}: name what `segjax data pack` wrote, or run that again where it was ended."
        ) from None
    except (ValueError, LookupError, TypeError):
        raise DataError(f"{files.root}/{INDEX} is damaged: pack the set again.") from None


class PackedSource:
    """Records of the shards of a split."""

    worth_keeping: ClassVar[bool] = True

    def __init__(self, files: Files, shards: tuple[Shard, ...]) -> None:
        self.files: Files = files
        self.shards: tuple[Shard, ...] = shards
        self._firsts = [0, *itertools.accumulate(map(len, shards))]
        self._near = files if isinstance(files, Folder) else _Kept(files, shards)

    def __len__(self) -> int:
        """How many records there are."""
        return self._firsts[-1]

    def name_of(self, index: int) -> str:
        """What the source of the set called the record."""
        shard, place = self._place(index)
        return shard.names[place] if shard.names else f"record {index}"

    def __getitem__(self, index: int) -> Record:
        """The record of that number.

        Raises:
            DataError: it cannot be read, or is not what was written.
        """
        shard, place = self._place(index)
        what = f"Record {index} in {self.files.root}/{shard.file}"
        start, end = shard.offsets[place : place + 2]
        try:
            content = self._near.read(shard.file, start, end)
        except FileNotFoundError:
            raise DataError(f"{what} is not there: copy the shard again, or pack the set again.") from None
        try:
            return decoded(content, end - start, what)
        except DataError:
            if not isinstance(self._near, _Kept) or not self._near.forget(shard.file):
                raise
            return self[index]

    def _place(self, index: int) -> tuple[Shard, int]:
        index = range(len(self))[index]  # counts from the end below zero, and ends a loop with IndexError
        number = bisect.bisect_right(self._firsts, index) - 1
        return self.shards[number], index - self._firsts[number]


class _Kept:
    """Ranges of shards in a bucket; a thread brings the shards that were asked for here, one after another."""

    def __init__(self, files: Files, shards: tuple[Shard, ...]) -> None:
        self._files = files
        self._folder = data_dir() / "packed"
        self._shards = {shard.file: shard for shard in shards}
        self._here: dict[str, Path] = {}
        self._waiting: queue.SimpleQueue[Shard] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._working = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self._folder, error) from error

    @cached_property
    def _has_room(self) -> bool:
        missing = sum(shard.size for shard in self._shards.values() if not self._file(shard).is_file())
        return missing <= shutil.disk_usage(self._folder).free // 2

    def read(self, name: str, start: int, end: int) -> bytes:
        """Some bytes of a shard: of this machine's disk, or of the bucket until it is there."""
        if name not in self._here:
            self._ask_for(self._shards[name])
        if (file := self._here.get(name)) is None:
            return self._files.read(name, start, end)
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(end - start)

    def forget(self, name: str) -> bool:
        """Whether a shard was on this machine's disk, from which it is taken."""
        file = self._here.pop(name, None)
        if file is not None:
            file.unlink(missing_ok=True)
        return file is not None

    def _file(self, shard: Shard) -> Path:
        return self._folder / f"{shard.sha256[:16]}-{shard.file}"

    def _ask_for(self, shard: Shard) -> None:
        with self._lock:
            if shard.file in self._asked or not self._has_room:
                return
            self._asked.add(shard.file)
            if (file := self._file(shard)).is_file() and file.stat().st_size == shard.size:
                self._here[shard.file] = file
                return
            self._waiting.put(shard)
            if not self._working:
                self._working = True
                threading.Thread(target=self._bring, daemon=True).start()

    def _bring(self) -> None:
        while True:
            with self._lock:
                if self._waiting.empty():
                    self._working = False
                    return
            shard = self._waiting.get()
            try:
                again = f"it is read from {self._files.root} as long as it is not"
                self._here[shard.file] = store(
                    self._folder, lambda aside, shard=shard: self._fetch(shard, aside), shard.sha256, again
                )
            except (DataError, FileNotFoundError) as error:  # whoever reads a record of it meets the same, and says so
                say_once(f"A shard could not be kept on this machine: {error}")

    def _fetch(self, shard: Shard, aside: Path) -> Path:
        into = aside / self._file(shard).name
        with into.open("wb") as file:
            for start in range(0, shard.size, _PART):
                file.write(self._files.read(shard.file, start, min(start + _PART, shard.size)))
        return into


def checksum(file: Path) -> str:
    """The sha256 of a file in hexadecimal, as `Shard` has it."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
