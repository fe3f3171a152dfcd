"""What a person can mend: exceptions whose message is one sentence that names what is wrong and says what to do."""

import difflib
import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


class UserError(Exception):
    """The base of them; the command line prints the sentence, and no traceback."""


class DataError(UserError):
    """Data or weights that cannot be had or read."""


class ExperimentError(UserError):
    """An experiment or a run that cannot be used as it is."""


class InferenceError(UserError):
    """A prediction that cannot be made or written."""


class ExportError(UserError):
    """A model that cannot be brought into another format, or a file of one that cannot be read."""


class ServeError(UserError):
    """A server that cannot be started."""


def at_least(least: int, **knobs: float | None) -> None:
    """Refuse a knob that is below a bound, or no finite number; None is for one that is not given.

    Raises:
        ExperimentError: for the first of them.
    """
    for name, value in knobs.items():
        if value is not None and not (is_number(value) and least <= value < math.inf):
            raise ExperimentError(f"{name} is {value!r}; it must be a number, at least {least}.")


def counts(least: int, **knobs: int | None) -> None:
    """Refuse a knob that is below a bound, or no whole number; None is for one that is not given.

    Raises:
        ExperimentError: for the first of them.
    """
    for name, value in knobs.items():
        if value is not None and not (is_whole(value) and least <= value):
            raise ExperimentError(f"{name} is {value!r}; it must be a whole number, at least {least}.")


def is_whole(value: object) -> bool:
    """Whether it is a whole number, of Python or numpy; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number, of Python or numpy; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def counted(number: int, what: str) -> str:
    """So many things, as a sentence has them: "1 image", "2 images", "0 boxes"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}{'es' if what.endswith(('s', 'x')) else 's'}"


_MOST_NAMED = 12


def near(name: str, known: Iterable[str]) -> list[str]:
    """The known names that a wrong one may have meant."""
    return difflib.get_close_matches(name, list(known), n=3)


def nearest(name: str, known: Iterable[str]) -> str:
    """Those that are `near`, for a sentence; where none is, the first ones of all."""
    known = list(known)
    if meant := near(name, known):
        return " or ".join(meant)
    more = f" (and {len(known) - _MOST_NAMED} more)" if len(known) > _MOST_NAMED else ""
    return " or ".join(known[:_MOST_NAMED]) + more


def by_name(name: str, known: Mapping[str, Value], kind: str) -> Value:
    """What is known under a name; `kind` says what it is that has none of that name.

    Raises:
        ExperimentError: there is none; it offers the nearest.
    """
    if name not in known:
        raise ExperimentError(f"{name} is no {kind}; name one, such as {nearest(name, sorted(known))}.")
    return known[name]


def made_by_name(name: str, known: Mapping[str, Callable[..., Value]], kind: str, /, **fields: Any) -> Value:
    """What a name stands for, made with these fields.

    Raises:
        ExperimentError: there is none of that name, or it has no such field; it offers the nearest.
    """
    make = by_name(name, known, kind)
    taken = inspect.signature(make).parameters
    for field in fields:
        if field not in taken and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
            raise ExperimentError(f"The {kind} {name} has no field {field}; name one, such as {nearest(field, taken)}.")
    return make(**fields)
