import hashlib
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segjax.cache import fetch_member, fetch_wheel, read_member
from segjax.errors import DataError

FILE = "Some_Data.x-1.0-py3-none-any.whl"


@pytest.fixture(autouse=True)
def index(tmp_path, monkeypatch) -> Path:
    """A folder that is the only package index there is, for the real pip, with one wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / FILE, "w") as wheel:
        info = "some_data_x-1.0.dist-info"
        wheel.writestr("some_data/numbers.txt", "1 2 3")
        # A dependency that does not exist and a Python that nobody has: neither matters to someone who reads a file.
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: Some-Data.x\nVersion: 1.0\nRequires-Dist: nowhere\nRequires-Python: <3\n",
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SEGJAX_WHEELS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def sha256(folder: Path) -> str:
    return hashlib.sha256((folder / FILE).read_bytes()).hexdigest()


def offline(monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "")


def test_pip_fetches_once_and_then_no_network_is_needed(index, tmp_path, monkeypatch, capfd):
    wheel = fetch_wheel("some-data-x", "1.0", sha256(index))
    assert wheel == tmp_path / "data" / "wheels" / FILE
    assert read_member(wheel, "some_data/numbers.txt") == b"1 2 3"
    assert os.listdir(wheel.parent) == [FILE]  # and no temporary folder
    out, err = capfd.readouterr()
    assert (out, err) == ("", "Fetching some-data-x 1.0 with pip ...\n")
    offline(monkeypatch)
    assert fetch_wheel("some-data-x", "1.0", sha256(index)) == wheel
    assert capfd.readouterr() == ("", "")


def test_a_file_of_a_wheel_is_unpacked_once(index, tmp_path, monkeypatch):
    member, of_member = "some_data/numbers.txt", hashlib.sha256(b"1 2 3").hexdigest()
    path = fetch_member("some-data-x", "1.0", sha256(index), member, of_member)
    assert path == tmp_path / "data" / "files" / f"{of_member[:12]}-numbers.txt"
    assert path.read_text() == "1 2 3"
    offline(monkeypatch)
    (tmp_path / "data" / "wheels" / FILE).unlink()
    assert fetch_member("some-data-x", "1.0", sha256(index), member, of_member) == path
    path.write_text("other")
    with pytest.raises(DataError, match=rf"numbers\.txt has sha256 .* so it is not used: delete {path} and run again"):
        fetch_member("some-data-x", "1.0", sha256(index), member, of_member)


def test_a_wheel_laid_in_either_folder_is_used_without_pip(index, tmp_path, monkeypatch):
    offline(monkeypatch)
    monkeypatch.setenv("SEGJAX_WHEELS", str(index))
    assert fetch_wheel("some_data.X", "1.0", sha256(index)) == index / FILE
    assert not (tmp_path / "data").exists()
    monkeypatch.delenv("SEGJAX_WHEELS")
    wheels = tmp_path / "data" / "wheels"
    wheels.mkdir(parents=True)
    (wheels / FILE).write_bytes((index / FILE).read_bytes())
    assert fetch_wheel("some-data-x", "1.0", sha256(index)) == wheels / FILE


def test_a_laid_wheel_with_a_wrong_checksum_is_never_used(index, monkeypatch):
    monkeypatch.setenv("SEGJAX_WHEELS", str(index))
    expected, found = "0" * 64, sha256(index)
    with pytest.raises(DataError) as caught:
        fetch_wheel("some-data-x", "1.0", expected)
    assert str(caught.value) == (
        f"{FILE} has sha256 {found}, but {expected} was expected, so it is not used: "
        f"delete {index / FILE} and run again."
    )


def test_a_fetched_wheel_with_a_wrong_checksum_does_not_stay(index, tmp_path):
    with pytest.raises(DataError, match=r"was expected, so it is not used: run again, or lay the right wheel in"):
        fetch_wheel("some-data-x", "1.0", "0" * 64)
    assert os.listdir(tmp_path / "data" / "wheels") == []


def test_what_an_interrupted_fetch_left_behind_does_no_harm(index, tmp_path):
    left = tmp_path / "data" / "wheels" / ".fetching-killed"
    left.mkdir(parents=True)
    (left / FILE).write_bytes(b"half a wheel")
    assert fetch_wheel("some-data-x", "1.0", sha256(index)).read_bytes() == (index / FILE).read_bytes()


def test_several_may_fetch_at_once(index, tmp_path):
    with ThreadPoolExecutor(3) as pool:
        fetched = set(pool.map(lambda _: fetch_wheel("some-data-x", "1.0", sha256(index)), range(3)))
    assert fetched == {tmp_path / "data" / "wheels" / FILE}
    assert os.listdir(tmp_path / "data" / "wheels") == [FILE]


def test_what_pip_cannot_find_is_named_with_what_to_do(index, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch_wheel("some-data-x", "2.0", "0" * 64)
    assert str(caught.value) == (
        "pip could not fetch some-data-x 2.0 (No matching distribution found for some-data-x==2.0): "
        "check the network and run again, or lay the wheel that `pip download --no-deps some-data-x==2.0` fetches "
        f"elsewhere in {tmp_path / 'data' / 'wheels'} or in the folder named by SEGJAX_WHEELS."
    )


def test_no_network_is_said(monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port of the discard service: nobody answers
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(DataError, match=r"pip could not fetch some-data-x 2.0 \(no connection to the package index\)"):
        fetch_wheel("some-data-x", "2.0", "0" * 64)


def test_an_environment_without_pip_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(DataError, match=r"fetched with pip, which .* lacks: run `.* -m ensurepip`"):
        fetch_wheel("some-data-x", "1.0", "0" * 64)


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError) as caught:
        fetch_wheel("some-data-x", "1.0", "0" * 64)
    assert str(caught.value) == (
        f"Cannot write to {tmp_path / 'file' / 'wheels'} (Not a directory): "
        "set SEGJAX_DATA to a folder that you may write to."
    )
