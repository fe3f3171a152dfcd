"""Files of the web and of the hub, as a server of this process gives them."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segjax.cache import fetch_hub, fetch_url
from segjax.errors import DataError


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEGJAX_DATA", str(tmp_path / "data"))


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
    assert answers[6].startswith(f"{name} of a//b at {COMMIT} is no name of the Hugging Face hub: mend it")
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


@pytest.mark.parametrize(
    ("repo_id", "filename", "revision"),
    [
        ("timm/small", "model.safetensors", "../../other"),
        ("timm/small", "../model.safetensors", COMMIT),
        ("timm/small", "/model.safetensors", COMMIT),
        ("../small", "model.safetensors", COMMIT),
        ("timm/small", "model.safetensors", "a" * 300),
    ],
)
def test_a_name_that_leads_out_of_the_cache_or_is_none_of_a_file_is_refused(repo_id: str, filename: str, revision: str):
    with pytest.raises(DataError, match="is no name of the Hugging Face hub: mend it"):
        fetch_hub(repo_id, filename, revision)
