"""Files that are looked into where they lie, and the sentence of one that is refused."""

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from segjax.errors import DataError

FETCH_AGAIN = "fetch it again"
_LONGEST_READ = 1 << 24


class Refused(Exception):
    """What was found in a file, and what to do about it."""

    def __init__(self, found: str, remedy: str = FETCH_AGAIN):
        super().__init__(f"{found}: {remedy}.")


class Mapped(mmap.mmap):
    """A file in memory that is read by the page and on demand, so that one of 1 GB costs no memory."""

    def read(self, n: int | None = None) -> bytes:
        """As of a file; a hostile length is refused before anything of it is allocated.

        Raises:
            Refused: a length that is hostile.
        """
        left = len(self) - self.tell()
        if (left if n is None or n < 0 else min(n, left)) > _LONGEST_READ:
            raise Refused(f"has a table of more than {_LONGEST_READ} bytes")
        return super().read(n)

    def array(self) -> UInt8[np.ndarray, " n"]:
        """All of it, uncopied and read-only."""
        return np.frombuffer(self, np.uint8)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Mapped]:
    """A file's bytes; what is refused of them becomes a sentence with the file's name.

    Arrays made of them stay valid after the context, for as long as nobody writes into the file.

    Raises:
        DataError: There is no such file, it cannot be read, is empty or was refused.
    """
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise Refused("is empty")
            yield Mapped(file.fileno(), 0, access=mmap.ACCESS_READ)
    except Refused as refused:
        raise DataError(f"{path} {refused}") from refused
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): mend the path or its rights.") from error


def printable(text: object) -> str:
    """A name out of a file for a sentence: short, and nothing in it that a terminal would obey."""
    shown = ascii(str(text))[1:-1]
    return shown if len(shown) <= 80 else f"{shown[:80]}..."
