"""Clients that read slowly, or not at all."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from segjax.serve.protocol import bounded
from segjax.serve.running import listen

SECONDS = 0.4
LENGTH = 2**25
"""More than the sockets of a machine hold."""


async def large(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    headers = [(b"content-length", str(LENGTH).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(LENGTH)})


@pytest.fixture
def client() -> Iterator[socket.socket]:
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(large, http=bounded(SECONDS), lifespan="off", log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    with socket.create_connection(listening.getsockname(), timeout=30) as connection:
        yield connection
    server.should_exit = True
    thread.join(30)


@pytest.mark.parametrize("requests", [1, 2])
def test_who_reads_nothing_is_cut_off(client: socket.socket, requests: int):
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
    first = client.recv(1)
    time.sleep(5 * SECONDS)
    assert len(first) + read(client) < LENGTH


def test_who_reads_slowly_gets_all(client: socket.socket):
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    begin = time.monotonic()
    assert read(client, LENGTH // 16, SECONDS / 3) > LENGTH
    assert time.monotonic() - begin > 4 * SECONDS


def read(client: socket.socket, most: int = 2**20, pause: float = 0) -> int:
    """The number of bytes until the server ends the connection; pauses after each `most`."""
    count = since = 0
    while part := client.recv(min(most, 2**20)):
        count, since = count + len(part), since + len(part)
        if pause and since >= most:
            time.sleep(pause)
            since = 0
    return count
