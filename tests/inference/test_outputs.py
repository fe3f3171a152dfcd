"""Results on disk: whole or not there."""

from pathlib import Path

import pytest

from segjax.inference import outputs


def test_until_it_is_whole_a_result_is_not_there(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with outputs.replacing(path) as file:
        file.write(b"new but not")
        file.flush()
        assert path.read_bytes() == b"old"  # and so it stays where the process is killed here
        assert [name.name[0] for name in tmp_path.iterdir() if name != path] == ["."]
    assert path.read_bytes() == b"new but not"
    with pytest.raises(KeyboardInterrupt), outputs.replacing(path):
        raise KeyboardInterrupt
    assert [name.name for name in tmp_path.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"new but not"
