"""What a person can mend: exceptions whose message is one sentence that names what is wrong and says what to do."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """The base of them; the command line prints the sentence, and no traceback."""


class DataError(UserError):
    """Data or weights that cannot be had or read."""


class ExperimentError(UserError):
    """An experiment or a run that cannot be used as it is."""


class InferenceError(UserError):
    """A prediction that cannot be made or written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that a wrong one may have meant, for a sentence: all of them where none is near."""
    known = list(known)
    return " or ".join(difflib.get_close_matches(name, known, n=3) or known)
