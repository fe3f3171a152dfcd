"""Files that are there whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A path beside a file, to be written while entered, which becomes that file; where anything fails, nothing of it.

    A kill may leave `.NAME.partial`, which the next one writes anew.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        yield partial
        partial.replace(file)
    finally:
        with contextlib.suppress(OSError):  # on a full disk a part of it would take what room is left
            partial.unlink(missing_ok=True)


def write_whole(file: Path, text: str) -> None:
    """Write a text whole or not at all."""
    with written_whole(file) as partial:
        partial.write_text(text, encoding="utf-8")
