"""What a person can mend: exceptions whose message is one sentence that names what is wrong and says what to do."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar("Value")


class UserError(Exception):
    """The base of them; the command line prints the sentence, and no traceback."""


class DataError(UserError):
    """Data or weights that cannot be had or read."""


class ExperimentError(UserError):
    """An experiment or a run that cannot be used as it is."""


class InferenceError(UserError):
    """A prediction that cannot be made or written."""


_MOST_NAMED = 12


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that a wrong one may have meant, for a sentence: the first ones of all where none is near."""
    known = list(known)
    said = difflib.get_close_matches(name, known, n=3) or known[:_MOST_NAMED]
    return " or ".join(said) + (
        f" (and {len(known) - _MOST_NAMED} more)" if len(said) == _MOST_NAMED < len(known) else ""
    )


def by_name(name: str, known: Mapping[str, Value], kind: str) -> Value:
    """What is known under a name; `kind` says what it is that has none of that name.

    Raises:
        ExperimentError: there is none; it offers the nearest.
    """
    if name not in known:
        raise ExperimentError(f"{name} is no {kind}; name one, such as {nearest(name, sorted(known))}.")
    return known[name]
