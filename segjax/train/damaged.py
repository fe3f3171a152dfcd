"""Training records that cannot be read: they are named, and too many of them stop the run."""

import threading
from collections.abc import Callable

from segjax.data import Record, Source
from segjax.errors import DataError

MOST = 0.01
"""The share of the training records above which a run stops."""


class Damaged:
    """Collects the records of a source that turn out to be damaged; `say` gets one sentence for each."""

    def __init__(self, source: Source, say: Callable[[str], None]) -> None:
        self.numbers: set[int] = set()
        """Of the records found up to now."""
        self._source = source
        self._say = say
        self._lock = threading.Lock()

    def __call__(self, number: int, error: DataError) -> None:
        """Take note of a record.

        Raises:
            DataError: more than 1% of the source's records are damaged.
        """
        with self._lock:
            if number not in self.numbers:
                self.numbers.add(number)
                self._say(f"Training record {number} is damaged, and others take its place: {error}")
            found, size = len(self.numbers), len(self._source)
        if found > MOST * size:
            raise DataError(
                f"{found} of the {size} training records are damaged, which is more than {MOST:.0%}, so the run stops; "
                f"`segjax data check` lists those of a folder. The last one: {error}"
            )

    def example(self) -> Record:
        """The first record that can be read.

        Raises:
            DataError: there is none.
        """
        for number in range(len(self._source)):
            try:
                return self._source[number]
            except DataError as error:
                self(number, error)
        raise DataError("The training split has no records.")
