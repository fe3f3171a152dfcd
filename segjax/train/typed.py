"""Knobs that Python gives, held to their types, as the command line does it by itself."""

import collections.abc
import reprlib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segjax.errors import ExperimentError, is_number, is_whole, nearest

_WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "truth values"),
    str: ("a string", "strings"),
    Path: ("a path", "paths"),
    type(None): ("None", "Nones"),
}
"""What one of them is called, and several."""
_PLAIN = (str, bytes, int, float, bool, type(None), tuple, list, dict, set)
_NOT_CALLED = (types.FunctionType, type)
"""What makes a module, such as `models.unet`, and is none without its brackets."""
_MOST_NAMED = 5


def refuse_other_types(hints: Mapping[str, Any], values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse a value that is not of its knob's type; what only Python can give, such as a module, is let pass.

    A default is what it is, as None is of a knob that is written `crop: int = None`.

    Raises:
        ExperimentError: for the first of them; the sentence says what is expected, and offers the nearest name.
    """
    for name, hint in hints.items():
        if name in values and values[name] is not defaults.get(name, values) and not _fits(values[name], hint):
            raise ExperimentError(_sentence(name, values[name], hint))


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return isinstance(value, _PLAIN) and any(
            value == one and isinstance(value, bool) == isinstance(one, bool) for one in parts
        )
    if origin in (tuple, list) and parts:
        several = origin is list or parts[-1] is ...
        return isinstance(value, (tuple, list)) and (
            all(_fits(one, parts[0]) for one in value)
            if several
            else len(value) == len(parts) and all(map(_fits, value, parts))
        )
    if hint in (int, float):
        return is_whole(value) if hint is int else is_number(value)
    if hint is Path:
        return isinstance(value, (str, Path))
    kind = origin or hint
    if not isinstance(value, (*_PLAIN, *_NOT_CALLED)) or kind is Any or not isinstance(kind, type):
        return True
    return isinstance(value, kind)


def _sentence(name: str, value: Any, hint: Any) -> str:
    parts = _parts(hint)
    named = [part for part in parts if typing.get_origin(part) is typing.Literal]
    choices = [choice for part in named for choice in typing.get_args(part)]
    if isinstance(value, str) and choices:
        return f"{value} is no {name}; name one, such as {nearest(value, map(str, choices))}."
    several = [typing.get_args(part)[0] for part in parts if typing.get_args(part)[1:] == (...,)]
    for one in value if isinstance(value, (tuple, list)) and several else ():
        of_one = typing.Union[tuple(several)]  # noqa: UP007
        if isinstance(one, str) and not _fits(one, of_one):
            return _sentence(name, one, of_one)
    near = [(value,), *([str(value)] if is_number(value) else [])]
    offered = next((f", such as {other!r}" for other in near if _fits(other, hint)), "")
    return f"{name} is {reprlib.repr(value)}; it must be {' or '.join(map(_said, parts))}{offered}."


def _parts(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _said(hint: Any) -> str:
    """What a value of a type without alternatives is called."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        more = ", ..." if len(parts) > _MOST_NAMED else ""
        return f"one of {', '.join(map(repr, parts[:_MOST_NAMED]))}{more}"
    if origin in (tuple, list) and parts:
        number = "" if parts[-1] is ... or origin is list else f"{len(parts)} "
        several = "names" if typing.get_origin(parts[0]) is typing.Literal else _WORDS.get(parts[0], ("", "values"))[1]
        return f"a {origin.__name__} of {number}{several}"
    if origin is collections.abc.Callable:
        return "a function"
    name = getattr(hint, "__name__", str(hint))
    return _WORDS[hint][0] if hint in _WORDS else f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
