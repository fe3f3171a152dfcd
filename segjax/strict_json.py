"""JSON that every reader takes: the standard has no NaN and no infinity."""

import json
import math
from typing import Any


def as_json(content: Any, indent: int | None = None) -> str:
    """The text of nested dicts, lists, numbers and strings; numbers that are not finite become null, others strings."""
    return json.dumps(_finite(content), indent=indent, default=str, allow_nan=False)


def frozen(value: Any) -> Any:
    """What JSON held, with tuples for its lists, as it was before it was written."""
    if isinstance(value, dict):
        return {key: frozen(one) for key, one in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
