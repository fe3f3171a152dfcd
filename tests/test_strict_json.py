"""JSON without NaN and infinity."""

import json
from pathlib import Path

import numpy as np
import pytest

from segjax.errors import ExperimentError
from segjax.strict_json import as_json, read_object, read_rows


def test_what_is_not_finite_becomes_null_and_everything_else_stays():
    content = {"a": float("nan"), "b": [1.5, float("inf"), {"c": (2, -float("inf"))}], "d": "NaN", "e": None, "f": True}
    expected = {"a": None, "b": [1.5, None, {"c": [2, None]}], "d": "NaN", "e": None, "f": True}
    assert json.loads(as_json(content)) == expected
    assert json.loads(as_json({"p": Path("x"), "n": np.float64("nan")})) == {"p": "x", "n": None}


def test_a_row_that_a_kill_cut_short_is_left_out_and_a_damaged_one_is_said(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    assert read_rows(file) == []
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_rows(file) == [{"step": 1}, {"step": 2}]
    for text in (b'{"step": 1\n{"step": 2}\n', b"[]\n", b"\xff\xfe\n"):
        file.write_bytes(text)
        for read in (read_rows, read_object):
            with pytest.raises(ExperimentError, match=r"rows\.jsonl is damaged \(.*\); put back the one"):
                read(file)
