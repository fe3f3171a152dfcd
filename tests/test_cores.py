import os
from pathlib import Path

import pytest

from segjax import cores


@pytest.mark.parametrize(
    ("said", "expected"), [("max 100000", 6), ("250000 100000", 3), ("5000 100000", 1), ("900000 100000", 6)]
)
def test_a_container_gives_whole_cores_of_its_share_and_the_machine_no_more_than_it_has(
    said: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    (tmp_path / "cpu.max").write_text(said + "\n")
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "cpu.max")
    assert cores.usable_cores() == expected


def test_where_nobody_says_it_is_what_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(cores, "_QUOTA", tmp_path / "none")
    assert cores.usable_cores() == 1
