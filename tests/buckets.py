"""Servers of buckets on this machine, and a network before them that fails."""

import contextlib
import http.server
import itertools
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 with an empty bucket called `bucket`, over a real socket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in _environment(f"http://{host}:{port}").items():
            environment.setenv(name, value)
        fsspec = pytest.importorskip("fsspec")
        pytest.importorskip("s3fs")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
        yield f"http://{host}:{port}"
    server.stop()


def _environment(address: str) -> dict[str, str]:
    login = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    return login | {"AWS_ENDPOINT_URL": address}


class BadNetwork:
    """Stands before a server: of the connections some are never answered, and all break off after a while."""

    def __init__(self, server: str, *, stalls: int = 5, least: int = 200, most: int = 12_000) -> None:
        """Every `stalls`-th connection stalls; of others come between `least` and `most` bytes of answers."""
        host, _, port = server.removeprefix("http://").partition(":")
        self._server, self._stalls, self._open = (host, int(port)), stalls, []
        self._bytes = np.random.default_rng(0).integers(least, most, 10_000).tolist()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.stalled = self.cut = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()
        for one in self._open:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # of the socket that was closed
            for number in itertools.count(1):
                client, _ = self._listening.accept()
                self._open.append(client)
                if number % self._stalls == 0:
                    self.stalled += 1
                    continue
                server = socket.create_connection(self._server)
                self._open.append(server)
                threading.Thread(target=self._pass, args=(client, server, 1 << 40), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, self._bytes[number]), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, most: int) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(4096):
                other.sendall(data[:most])
                most -= len(data)
                if most <= 0:
                    self.cut += 1
                    break
        for side in (one, other):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def bad_network(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BadNetwork]:
    """That before the S3, which is asked through it from here on; those who wait are impatient."""
    network = BadNetwork(s3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", network.address)
    monkeypatch.setattr("segjax.cache.files.STALLED", 0.5)
    monkeypatch.setattr("segjax.cache.files.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("segjax.cache.files.TRIES", 12)  # half of them fail, and on a busy machine more
    yield network
    network.close()


class _Storage(http.server.BaseHTTPRequestHandler):
    """What of Google Cloud Storage's JSON interface is asked for: objects are put, described, read and taken away."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}

    def do_POST(self) -> None:
        _, about, content = self.rfile.read(int(self.headers["Content-Length"])).split(b"--==0==")[:3]
        name = json.loads(about.partition(b"\n\n")[2])["name"]
        self.objects[name] = content.partition(b"\n\n")[2].removesuffix(b"\n")
        self._answer(200, self._described(name))

    def do_GET(self) -> None:
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path.rpartition("/o/")[2])
        if name not in self.objects:
            self._answer(404, b"{}")
        elif "alt=media" not in self.path:
            self._answer(200, self._described(name))
        else:
            start, _, end = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            content = self.objects[name][int(start) : int(end) + 1 if end else None]
            self._answer(206 if "Range" in self.headers else 200, content)

    def do_DELETE(self) -> None:
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path.rpartition("/o/")[2])
        self._answer(404 if self.objects.pop(name, None) is None else 204, b"")

    def _described(self, name: str) -> bytes:
        size = str(len(self.objects[name]))
        return json.dumps({"name": name, "bucket": "bucket", "size": size, "generation": "1"}).encode()

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests are not said."""


@pytest.fixture(scope="session")
def gs() -> Iterator[None]:
    """A stand-in for Google Cloud Storage with a bucket called `bucket`, over a real socket."""
    pytest.importorskip("gcsfs")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Storage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield
    server.shutdown()
