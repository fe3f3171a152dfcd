"""Servers of buckets on this machine, and a network before them that fails."""

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator

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
    monkeypatch.setattr("segjax.cache.files.STALLED", 0.2)
    monkeypatch.setattr("segjax.cache.files.FIRST_PAUSE", 0.01)
    yield network
    network.close()
