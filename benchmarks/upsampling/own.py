"""Upsamplers of a third party: one class in a file, which joins the tables under its name."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.upsampling.cells import LABELS, OWN, UPSAMPLERS
from segjax.errors import DataError
from segjax.upsampling import Upsampling


def join(said: Iterable[str]) -> tuple[str, ...]:
    """Enter classes, each said as FILE.py:CLASS; their names in results, which change when the file does.

    Raises:
        DataError: no such file, no such class in it, or one that is no `segjax.upsampling.Upsampling`.
    """
    return tuple(_joined(*each.rpartition(":")[::2]) for each in said)


def _joined(file: str, name: str) -> str:
    path = Path(file)
    if not path.is_file():
        raise DataError(f"{file}:{name} names no file: say FILE.py:CLASS, as in --own mine.py:Mine.")
    key = f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    if key in OWN:
        return key
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module  # where dataclasses look types up that are texts
    spec.loader.exec_module(module)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Upsampling)):
        raise DataError(f"{file} has no class {name} that is a segjax.upsampling.Upsampling: derive it from that.")
    OWN[key] = found
    UPSAMPLERS[key] = LABELS[key] = name
    return key
