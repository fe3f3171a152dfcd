import os
from pathlib import Path

import pytest

from segjax import memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("said", "usable"), [(("max\n",), MACHINE), (("1048576\n",), 2**20), ((str(2**62), "4096"), 4096), ((), MACHINE)]
)
def test_a_container_may_use_less_than_its_machine_has(
    said: tuple[str, ...], usable: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    files = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    for file, text in zip(files, said, strict=False):
        file.write_text(text)
    monkeypatch.setattr(memory, "_LIMITS", files)
    assert memory.usable_memory() == usable


def test_a_machine_that_does_not_say_is_not_guessed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sysconf_names")
    assert memory.usable_memory() is None
