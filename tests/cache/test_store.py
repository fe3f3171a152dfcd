import errno
import os
import sys
from pathlib import Path

import pytest

from segjax.cache import data_dir, unwritable
from segjax.errors import DataError


def test_a_full_disk_is_said_whoever_finds_it():
    said = "The disk of data is full: free some space, or set SEGJAX_DATA to a folder on another disk."
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(unwritable(Path("data"), full)) == said
    assert str(unwritable(Path("data"), RuntimeError(f"write() failed: {full.strerror}; writing data/x"))) == said


def test_the_data_folder_is_chosen_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "mine"))
    assert data_dir() == tmp_path / "mine"
    monkeypatch.setenv("SEGJAX_DATA", "~/mine")
    assert data_dir() == Path.home() / "mine"
    monkeypatch.delenv("SEGJAX_DATA")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_dir() == tmp_path / "cache" / "segjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_dir() == Path.home() / ".cache" / "segjax"
    monkeypatch.setenv("SEGJAX_DATA", "~nobody of this name/mine")
    with pytest.raises(DataError, match="No home folder is known to keep files in: set SEGJAX_DATA to"):
        data_dir()
