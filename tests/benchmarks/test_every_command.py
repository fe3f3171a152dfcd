"""Every benchmark says what it takes, and takes what is written of it."""

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.asked import file_to_write

ROOT = Path(__file__).parents[2]
COMMANDS = [
    path.stem for path in ROOT.glob("benchmarks/*.py") if 'if __name__ == "__main__":' in path.read_text("utf-8")
]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/**/*.md")]
WRITTEN = {page.name: re.findall(r"python -m benchmarks\.(\w+)([^`\n#]*)", page.read_text("utf-8")) for page in PAGES}


def test_what_nothing_can_be_written_to_is_refused_before_anything_is_measured(tmp_path: Path):
    assert file_to_write(str(tmp_path / "rows.json")) == tmp_path / "rows.json"
    for wrong in (tmp_path, tmp_path / "none" / "rows.json"):
        with pytest.raises(argparse.ArgumentTypeError, match="can be no file: name one in a folder that is there"):
            file_to_write(str(wrong))


def help_of(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.* found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", [*COMMANDS, "upsampling"])
def test_it_is_asked_as_it_is_written(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    said = help_of(name, monkeypatch, capsys)
    assert said.startswith(f"usage: python -m benchmarks.{name} ")
    for page, commands in WRITTEN.items():
        for command, words in commands:
            flags = {word for word in shlex.split(words.replace("'", "")) if word.startswith("--")}
            assert command != name or flags <= set(re.findall(r"--[\w-]+", said)), f"{page}: {command}{words}"
