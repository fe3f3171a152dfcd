import json
import re
from typing import Any

import pytest

from benchmarks import completion
from segjax.runs import read_experiment
from segjax.runs.knobs import TABLE
from segjax.runs.names import names

ROWS: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))


def test_the_table_is_that_of_today():
    assert completion.table() == ROWS, "python -m benchmarks.completion"
    assert sorted(name for row in ROWS for name in row["names"]) == sorted(names())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["names"][0])
def test_shells_offer_what_help_lists(row: dict[str, Any], capsys: pytest.CaptureFixture[str]):
    name = row["names"][-1]
    with pytest.raises(SystemExit):
        read_experiment(name).knobs(["--help"])
    listed = set(re.findall(r"^\W (--[a-z][\w-]*)", capsys.readouterr().out, re.M))
    assert listed == {f"--{knob.replace('_', '-')}" for knob in row["knobs"]}
