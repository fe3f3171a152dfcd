"""JSON that every reader takes: the standard has no NaN and no infinity."""

import json
import math
import reprlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from segjax.errors import ExperimentError, is_number, is_whole

Kind = Literal[
    "an object",
    "an object of strings",
    "a list of objects",
    "scores",
    "a string",
    "a number",
    "a number or null",
    "a whole number",
]
"""What a field of a JSON file is; scores are an object of numbers, null where undefined, and of such objects by class.
"""
Kinds = Mapping[str, Kind]


def as_json(content: Any, indent: int | None = None) -> str:
    """The text of nested dicts, lists, numbers and strings; arrays become lists, numbers that are not finite null.

    What JSON has no place for becomes a string.
    """
    return json.dumps(_finite(content), indent=indent, default=str, allow_nan=False)


def read_object(file: Path, kinds: Kinds, needs: Collection[str] = ()) -> dict[str, Any]:
    """What a JSON file of a run holds, of the kinds that its fields have where they are there; `needs` must be.

    Raises:
        ExperimentError: that is no longer what a run writes.
    """
    return _object(file, file.read_text(encoding="utf-8", errors="replace"), kinds, needs)


def read_rows(file: Path, kinds: Kinds, needs: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, none where there is no file; a last row that a kill cut short is left out.

    Raises:
        ExperimentError: a row is no longer what a run writes.
    """
    text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
    return [_object(file, line, kinds, needs) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def frozen(value: Any) -> Any:
    """What JSON held, with tuples for its lists, as it was before it was written."""
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def damaged(file: Path, why: object) -> ExperimentError:
    """What is to be raised of a file that is no longer what a run writes."""
    return ExperimentError(f"{file} is damaged ({why}); put back the one that the run wrote.")


def _object(file: Path, text: str, kinds: Kinds, needs: Collection[str]) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise damaged(file, error) from error
    if not isinstance(content, dict):
        raise damaged(file, "it holds no object")
    for name in needs:
        if name not in content:
            raise damaged(file, f"it has no {name}")
    for name, kind in kinds.items():
        if name in content and not _IS[kind](content[name]):
            raise damaged(file, f"{name} is {reprlib.repr(content[name])}, and it must be {kind}")
    return content


def _are_scores(value: Any) -> bool:
    return isinstance(value, dict) and all(_IS["a number or null"](one) or _are_scores(one) for one in value.values())


_IS: dict[Kind, Callable[[Any], bool]] = {
    "an object": lambda value: isinstance(value, dict),
    "an object of strings": lambda value: (
        isinstance(value, dict) and all(isinstance(one, str) for one in value.values())
    ),
    "a list of objects": lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value),
    "scores": _are_scores,
    "a string": lambda value: isinstance(value, str),
    "a number": is_number,
    "a number or null": lambda value: value is None or is_number(value),
    "a whole number": is_whole,
}


def _finite(value: Any) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value  # of numpy and jax, and their single numbers
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
