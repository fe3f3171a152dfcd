import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segjax.cache import fetch_npm
from segjax.errors import DataError

NAME, VERSION, FILE = "@some/package", "1.0.0", "some-package-1.0.0.tgz"
SCRIPTS = {"prepack": "touch ran", "prepare": "touch ran", "postinstall": "touch ran"}


def packed() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        manifest = json.dumps({"name": NAME, "version": VERSION, "scripts": SCRIPTS}).encode()
        files = {"package/package.json": manifest, "package/dist/a.wasm": b"wasm", "package/../../out": b"out"}
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return file.getvalue()


PACKED = packed()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


MEMBERS = {"dist/a.wasm": sha256(b"wasm")}


class Registry(BaseHTTPRequestHandler):
    """One that has one version of one package."""

    def do_GET(self):
        address = f"http://{self.headers['Host']}/{FILE}"
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(PACKED).digest()).decode()}"
        version = {"name": NAME, "version": VERSION, "dist": {"tarball": address, "integrity": integrity}}
        known = {"name": NAME, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}
        answers = {"/@some%2fpackage": json.dumps(known).encode(), f"/{FILE}": PACKED}
        content = answers.get(self.path, b"{}")
        self.send_response(200 if self.path in answers else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format, *args):
        pass


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are kept; the only registry does not answer: the port is the discard service's."""
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("SEGJAX_WHEELS", raising=False)
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    monkeypatch.setenv("npm_config_userconfig", os.devnull)
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    return tmp_path / "data" / "npm"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("registry")
def test_npm_fetches_once_runs_nothing_and_then_no_network_is_needed(data: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match=r"npm could not fetch @some/package 2\.0\.0 \(there is no such version\)"):
        fetch_npm(NAME, "2.0.0", sha256(PACKED), MEMBERS)
    with pytest.raises(DataError, match="run again, or lay the right package in"):
        fetch_npm(NAME, VERSION, "0" * 64, MEMBERS)
    assert os.listdir(data) == []
    (path,) = fetch_npm(NAME, VERSION, sha256(PACKED), MEMBERS)
    assert path == data / "some-package-1.0.0" / "a.wasm"
    assert path.read_bytes() == b"wasm"
    assert sorted(each.name for each in data.rglob("*")) == ["a.wasm", "some-package-1.0.0", FILE]
    monkeypatch.setenv("PATH", "")
    (data / FILE).unlink()
    assert fetch_npm(NAME, VERSION, sha256(PACKED), MEMBERS) == (path,)
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=rf"so it is not used: delete {path} and run again"):
        fetch_npm(NAME, VERSION, sha256(PACKED), MEMBERS)


def test_a_package_laid_in_either_folder_is_used_without_npm(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "")
    data.mkdir(parents=True)
    (data / FILE).write_bytes(PACKED)
    assert fetch_npm(NAME, VERSION, sha256(PACKED), MEMBERS)[0].read_bytes() == b"wasm"
    shutil.rmtree(data)
    monkeypatch.setenv("SEGJAX_WHEELS", str(tmp_path))
    (tmp_path / FILE).write_bytes(PACKED)
    assert fetch_npm(NAME, VERSION, sha256(PACKED), MEMBERS)[0].read_bytes() == b"wasm"
    assert not (data / FILE).exists()
    with pytest.raises(DataError, match=rf"delete {tmp_path / FILE} and run again"):
        fetch_npm(NAME, VERSION, "0" * 64, {"other": "0" * 64})


@pytest.mark.parametrize("member", ["link", "dist", "none"])
def test_what_is_no_file_of_the_package_is_said(member: str, data: Path):
    data.mkdir(parents=True)
    (data / FILE).write_bytes(PACKED)
    with pytest.raises(DataError, match=rf"{FILE} has no file {member}: install a newer segjax"):
        fetch_npm(NAME, VERSION, sha256(PACKED), {member: "0" * 64})
    (data / FILE).write_bytes(b"no archive")
    with pytest.raises(DataError, match="is no package of npm"):
        fetch_npm(NAME, VERSION, sha256(b"no archive"), {member: "0" * 64})


def test_nothing_of_a_package_says_where_it_is_written(data: Path):
    data.mkdir(parents=True)
    (data / FILE).write_bytes(PACKED)
    (path,) = fetch_npm(NAME, VERSION, sha256(PACKED), {"../../out": sha256(b"out")})
    assert path == data / "some-package-1.0.0" / "out"


def test_no_npm_and_no_network_are_said(data: Path, monkeypatch: pytest.MonkeyPatch):
    by_hand = (
        f"or lay the file that `npm pack @some/package@1.0.0` fetches elsewhere in {data} or in the folder named by "
        "SEGJAX_WHEELS."
    )
    if shutil.which("npm"):
        with pytest.raises(DataError) as caught:
            fetch_npm(NAME, VERSION, "0" * 64, MEMBERS)
        assert str(caught.value) == (
            "npm could not fetch @some/package 1.0.0 (no connection to the package registry): check the network and "
            f"run again, {by_hand}"
        )
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError) as caught:
        fetch_npm(NAME, VERSION, "0" * 64, MEMBERS)
    assert str(caught.value) == (
        "@some/package 1.0.0 is fetched with npm, which is not there: install Node.js and run again, " + by_hand
    )
