"""What was read of files, kept while the files stay as they are."""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_MOST = 4
_kept: OrderedDict[Hashable, tuple[object, object]] = OrderedDict()


def read_once(key: Hashable, files: Iterable[Path], read: Callable[[], _T], whole: Callable[[_T], bool]) -> _T:
    """What `read` gives, which is called again where a file has changed since.

    Args:
        key: what is read, and how.
        files: those that it depends on.
        read: reads them.
        whole: whether nothing is wrong with it; what else is wrong may be mended by other files, and is read again.
    """
    state = [(os.fspath(file), *_stamp(file)) for file in files]
    if key in _kept and _kept[key][0] == state:
        _kept.move_to_end(key)
        return _kept[key][1]  # type: ignore[return-value]  (of one key it is always of one type)
    _kept.pop(key, None)
    found = read()
    if whole(found):
        _kept[key] = state, found
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
    return found


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
