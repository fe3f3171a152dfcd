import importlib
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from buckets import BadNetwork

from segjax.cache.files import Bucket, files_in
from segjax.errors import DataError


@pytest.fixture
def content(tmp_path: Path) -> Path:
    file = tmp_path / "content"
    file.write_bytes(np.random.default_rng(0).bytes(20_000))
    return file


@pytest.fixture(params=["folder", "s3", "gs"])
def files(request: pytest.FixtureRequest, tmp_path: Path):
    if request.param != "folder":
        request.getfixturevalue(request.param)
        return files_in(f"{request.param}://bucket/files/")
    return files_in(tmp_path / "files")


def test_what_is_written_is_read_by_range(files, content: Path):
    files.write("a.zip", content)
    whole = content.read_bytes()
    assert files.read("a.zip") == whole
    assert files.read("a.zip", 5, 17_000) == whole[5:17_000]
    assert files.size("a.zip") == 20_000
    files.remove("a.zip")
    files.remove("a.zip")
    for ask in (files.read, files.size):
        with pytest.raises(FileNotFoundError):
            ask("a.zip")


def test_what_is_written_again_is_another_file(files, content: Path, tmp_path: Path):
    files.write("a", content)
    content.write_bytes(b"new")
    files.write("a", content)
    assert files.read("a") == b"new"
    assert not list(tmp_path.glob("files/.*"))


def test_a_network_that_stalls_and_breaks_off_gives_every_byte_once(
    s3: str,
    bad_network: BadNetwork,
    content: Path,
):
    files = files_in("s3://bucket/bad")
    files.write("a", content)
    whole = content.read_bytes()
    for start in range(0, 20_000, 2000):
        assert files.read("a", start, start + 2000) == whole[start : start + 2000]
    assert bad_network.stalled
    assert bad_network.cut


def test_a_network_that_never_answers_is_one_sentence(
    s3: str,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("segjax.cache.files.STALLED", 0.3)
    monkeypatch.setattr("segjax.cache.files.FIRST_PAUSE", 0.01)
    network = BadNetwork(s3, stalls=1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", network.address)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"a could not be read in 6 tries \(no answer came within 0.3 s\): check the"):
        files_in("s3://bucket").read("a", 0, 5)
    assert time.monotonic() - began < 10
    assert network.stalled > 2
    network.close()


def test_a_refused_connection_is_one_sentence(s3: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("segjax.cache.files.FIRST_PAUSE", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=r"a could not be read in 6 tries \(Could not connect.*\): check the"):
        files_in("s3://bucket").read("a")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_said(content: Path):
    files = files_in("s3://none/folder")
    with pytest.raises(DataError, match=r"^s3://none/folder/a cannot be read \(The specified bucket does not exist"):
        files.read("a")
    with pytest.raises(DataError, match=r"cannot be written \(The.* exist\): make the bucket, or mend its name"):
        files.write("a", content)


def test_what_is_not_allowed_is_not_tried_again():
    calls = []

    class Client:
        from fsspec.asyn import get_loop

        loop = get_loop()

        async def _info(self, address: str) -> None:
            calls.append(address)
            raise PermissionError("Forbidden")

    with pytest.raises(DataError, match=r"^gs://b/a may not be read \(Forbidden\): log in to the bucket"):
        Bucket("gs://b", Client()).size("a")
    assert calls == ["gs://b/a"]


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("nothing://a", r"nothing://a cannot be asked \(Protocol not known: nothing\)"),
        ("s3://a", r"pip install 'segjax\[buckets\]'"),
        ("s3://", "s3:// names no bucket: give s3://BUCKET/FOLDER"),
        (Path("s3://a/b"), "s3:/a/b has one slash where an address has two, as in a Path of one: give the text"),
    ],
)
def test_what_cannot_be_asked_is_said(address: str | Path, sentence: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)  # found before
    with pytest.raises(DataError, match=sentence):
        files_in(address)
