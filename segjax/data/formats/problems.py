"""What is wrong with a data set, and the refusal of one that has errors."""

import os
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from segjax.data.formats.images import shown
from segjax.errors import DataError, counted


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data set: errors keep it from training, warnings do not."""

    kind: str
    severity: Literal["error", "warning"]
    file: str
    sentence: str


def refuse(root: str | os.PathLike[str], problems: Iterable[Problem]) -> None:
    """Refuse what has errors among its problems.

    Raises:
        DataError: there are errors; it says the first ten.
    """
    errors = [problem.sentence for problem in problems if problem.severity == "error"]
    if not errors:
        return
    lines = errors[:10]
    if len(errors) > 10:
        lines.append(f"... and {counted(len(errors) - 10, 'more error')}.")
    lines.append(f"`segjax data check {shlex.quote(shown(root))}` lists everything that is wrong.")
    raise DataError("\n".join(lines))
