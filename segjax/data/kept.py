"""Records kept in memory, so that files are read and decoded in the first epoch alone."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from segjax.data.checked import CheckedSource, checked
from segjax.data.record import Record, Source


class Room:
    """Memory for records, of one source or of several, which may be read from any thread.

    Examples:
        >>> room = data.Room(10)
        >>> room.take(8), room.take(8), room.left
        (True, False, 2)
    """

    def __init__(self, size: int) -> None:
        self.left: int = size
        """Bytes."""
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there were so many bytes left; they are not any more."""
        with self._lock:
            fits = size <= self.left
            self.left -= fits * size
            return fits


def kept_where_worth(source: Source, room: Room) -> Source:
    """The source, kept where it says by `worth_keeping` that records take time to read and are always the same."""
    return kept(source, room) if getattr(checked(source).source, "worth_keeping", False) else source


def kept(source: Source, room: Room) -> CheckedSource:
    """The source with its records checked, and kept once they were read, as long as there is room.

    What it gives is what the source gives, but that arrays that are kept cannot be written to.

    Examples:
        >>> record: data.Record = {"image": np.zeros((8, 8, 3), np.uint8)}
        >>> room = data.Room(300)
        >>> source = data.kept([record] * 2, room)
        >>> source[0]["image"].shape, source[1]["image"].shape, room.left
        ((8, 8, 3), (8, 8, 3), 108)
    """
    whole = checked(source)
    return replace(whole, source=_Kept(whole, room))


@dataclass(frozen=True)
class _Kept:
    source: CheckedSource
    room: Room
    _records: dict[int, Record] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Record:
        record = self._records.get(index)
        if record is None:
            record = self.source[index]
            with self._lock:  # another thread may have read it meanwhile, for which room is taken once
                if index not in self._records and self.room.take(sum(x.nbytes for x in _arrays(record).values())):
                    self._records[index] = _owned(record)
                record = self._records.get(index, record)
        return cast(Record, dict(record))

    def name_of(self, index: int) -> str:
        return self.source.name_of(index)


def _arrays(record: Record) -> Mapping[str, np.ndarray]:
    return cast(Mapping[str, np.ndarray], record)


def _owned(record: Record) -> Record:
    """Without what else an array may be a part of, such as the whole file."""
    owned: dict[str, Any] = {}
    for name, array in _arrays(record).items():
        owned[name] = array.view() if array.base is None else array.copy()
        owned[name].flags.writeable = False
    return cast(Record, owned)
