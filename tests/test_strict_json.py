"""JSON without NaN and infinity."""

import json
from pathlib import Path

import numpy as np
import pytest

from segjax.errors import ExperimentError
from segjax.strict_json import Kind, as_json, read_object, read_rows


def test_what_is_not_finite_becomes_null_and_everything_else_stays():
    content = {"a": float("nan"), "b": [1.5, float("inf"), {"c": (2, -float("inf"))}], "d": "NaN", "e": None, "f": True}
    expected = {"a": None, "b": [1.5, None, {"c": [2, None]}], "d": "NaN", "e": None, "f": True}
    assert json.loads(as_json(content)) == expected
    assert json.loads(as_json({"p": Path("x"), "n": np.float64("nan")})) == {"p": "x", "n": None}


def test_a_row_that_a_kill_cut_short_is_left_out_and_a_damaged_one_is_said(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    assert read_rows(file, {}) == []
    file.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_rows(file, {}) == [{"step": 1}, {"step": 2}]
    for text in (b'{"step": 1\n{"step": 2}\n', b"[]\n", b"\xff\xfe\n"):
        file.write_bytes(text)
        for read in (read_rows, read_object):
            with pytest.raises(ExperimentError, match=r"rows\.jsonl is damaged \(.*\); put back the one"):
                read(file, {})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("an object", [{}, {"a": 1}], [None, [1], "x", 3]),
        ("an object of strings", [{"a": "b"}], [None, {"a": 1}]),
        ("a list of objects", [[], [{}]], [None, {}, [1]]),
        ("scores", [{"a": 1.5, "b": None, "c": {"d": 0}}], [None, {"a": "x"}, {"a": [1]}, {"a": {"b": True}}]),
        ("a string", [""], [None, 3, [1]]),
        ("a number", [1, 2.5], [None, "1", True]),
        ("a number or null", [2.5, None], ["1", [1]]),
        ("a whole number", [1], [None, 1.5, "1", True]),
    ],
)
def test_a_field_of_another_kind_is_named(tmp_path: Path, kind: Kind, good: list[object], bad: list[object]):
    file = tmp_path / "file.json"
    for value in good:
        file.write_text(json.dumps({"field": value}) + "\n")
        assert read_object(file, {"field": kind, "other": kind}, ["field"]) == {"field": value}
    for value in bad:
        file.write_text(json.dumps({"field": value}) + "\n")
        for read in (read_rows, read_object):
            sentence = rf"file\.json is damaged \(field is .*, and it must be {kind}\); put back the one"
            with pytest.raises(ExperimentError, match=sentence):
                read(file, {"field": kind})
            with pytest.raises(ExperimentError, match=r"file\.json is damaged \(it has no other\)"):
                read(file, {}, ["field", "other"])
