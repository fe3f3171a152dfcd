"""A server on a socket of this machine, and requests to it."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from segjax.serve import Limits, Served
from segjax.serve.running import listen, make_server


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Address(NamedTuple):
    host: str
    port: int

    def ask(self, path: str, body: bytes | None = None, method: str | None = None, **headers: str) -> Reply:
        """The reply to a request; the names of headers are written with _ for -."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, said)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, content)

    def predict(self, body: bytes, query: str = "", **headers: str) -> Reply:
        return self.ask(f"/predict{query}", body, **{"Content_Type": "image/png"} | headers)


@contextmanager
def serving(served: Served, limits: Limits = Limits()) -> Iterator[Address]:
    """Its address; the server runs in a thread."""
    listening = listen("127.0.0.1", 0)
    server = make_server(served, limits)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        yield Address("127.0.0.1", listening.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive()
