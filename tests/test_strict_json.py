"""JSON without NaN and infinity."""

import json
from pathlib import Path

import numpy as np

from segjax.strict_json import as_json


def test_what_is_not_finite_becomes_null_and_everything_else_stays():
    content = {"a": float("nan"), "b": [1.5, float("inf"), {"c": (2, -float("inf"))}], "d": "NaN", "e": None, "f": True}
    expected = {"a": None, "b": [1.5, None, {"c": [2, None]}], "d": "NaN", "e": None, "f": True}
    assert json.loads(as_json(content)) == expected
    assert json.loads(as_json({"p": Path("x"), "n": np.float64("nan")})) == {"p": "x", "n": None}
