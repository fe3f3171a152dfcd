import os
import subprocess
import sys
from pathlib import Path

import pytest

from segjax.cli import pages

EXPERIMENT = """
import os, sys
print(os.environ.get("GLIBC_TUNABLES"), os.getpid(), sys.argv[1:])
experiment = None
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "said.py"
    path.write_text(EXPERIMENT)
    return path


def first_line(script: Path, **settings: str) -> tuple[str, int]:
    """What the experiment file saw, and the process that was started."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "segjax", "train", str(script)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, error = process.communicate(timeout=60)
    assert out, error
    return out.splitlines()[0], process.pid


@pytest.mark.skipif(not pages._help(), reason="here the system does not leave the choice of pages to programs")
def test_training_starts_again_as_itself(script: Path):
    line, pid = first_line(script)
    assert line == f"glibc.malloc.hugetlb=1 {pid} ['train', '{script}']"
    line, _ = first_line(script, GLIBC_TUNABLES="glibc.malloc.check=0")
    assert line.startswith("glibc.malloc.check=0:glibc.malloc.hugetlb=1 ")


def test_who_says_no_is_heard(script: Path):
    line, _ = first_line(script, GLIBC_TUNABLES="glibc.malloc.hugetlb=0")
    assert line.startswith("glibc.malloc.hugetlb=0 ")


def test_nothing_is_started_again_where_it_does_not_help(monkeypatch: pytest.MonkeyPatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda *command: started.append(command))
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for version in ("glibc 2.31", "", None):
        monkeypatch.setattr(os, "confstr", lambda name, version=version: version)
        pages.start_again_with_huge_pages()
    monkeypatch.setattr(sys, "platform", "darwin")
    pages.start_again_with_huge_pages()
    assert started == []
    assert "GLIBC_TUNABLES" not in os.environ
