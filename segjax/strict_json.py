"""JSON that every reader takes: the standard has no NaN and no infinity."""

import json
import math
from pathlib import Path
from typing import Any

from segjax.errors import ExperimentError


def as_json(content: Any, indent: int | None = None) -> str:
    """The text of nested dicts, lists, numbers and strings; arrays become lists, numbers that are not finite null.

    What JSON has no place for becomes a string.
    """
    return json.dumps(_finite(content), indent=indent, default=str, allow_nan=False)


def read_object(file: Path) -> dict[str, Any]:
    """What a JSON file of a run holds.

    Raises:
        ExperimentError: that is no longer what a run writes.
    """
    return _object(file, file.read_text(encoding="utf-8", errors="replace"))


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, none where there is no file; a last row that a kill cut short is left out.

    Raises:
        ExperimentError: a row is no longer what a run writes.
    """
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    return [_object(file, line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def frozen(value: Any) -> Any:
    """What JSON held, with tuples for its lists, as it was before it was written."""
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def _object(file: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ExperimentError(f"{file} is damaged ({error}); put back the one that the run wrote.") from error
    if not isinstance(content, dict):
        raise ExperimentError(f"{file} is damaged (it holds no object); put back the one that the run wrote.")
    return content


def _finite(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy and jax, and their single numbers
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
