"""Files of JSON, or the sentence that says why one is none."""

import json
import os
from pathlib import Path
from typing import Any

from segjax.data.formats.images import shown
from segjax.errors import DataError


def read_json(path: str | os.PathLike[str], instead: str = "copy it again") -> Any:
    """What a file holds.

    Args:
        path: the file.
        instead: what to do where it cannot be read at all.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read ({error.strerror}): {instead}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)} is no JSON, or cut short ({error}): export or copy it again.") from None


def read_json_lines(path: str | os.PathLike[str]) -> list[Any]:
    """What each line of a file of NDJSON holds, blank ones left out.

    Raises:
        DataError: it cannot be read, or a line is no JSON.
    """
    try:
        # Strings may have what else `splitlines` takes for the end of a line.
        return [json.loads(line) for line in Path(path).read_text("utf-8-sig").split("\n") if line.strip()]
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read ({error.strerror}): copy it again.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)} is no JSON, or cut short ({error}): export or copy it again.") from None
