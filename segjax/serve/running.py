"""The server's process: compiled ahead, bound to an address, and stopped without cutting anybody off."""

import math
import signal
import socket
import sys
import time
from collections.abc import Sequence

import uvicorn

from segjax.data.padding import side_for
from segjax.errors import ServeError
from segjax.inference.tiling import WHOLE
from segjax.serve.app import make_app
from segjax.serve.limits import Limits
from segjax.serve.protocol import bounded
from segjax.serve.served import Served

_CONNECTIONS = 1024
"""Open at once, whatever they do."""


def serve(
    served: Served, host: str, port: int, limits: Limits = Limits(), sizes: Sequence[tuple[int, int]] = ((256, 256),)
) -> None:
    """Answer requests until SIGINT or SIGTERM; those under way are finished first.

    Args:
        served: The model.
        host: The address to listen on.
        port: 0 takes a free one, which is said.
        limits: What is taken at once.
        sizes: Height and width of images that programs are compiled for ahead of the first request.

    Raises:
        ServeError: the address cannot be listened on, or a size is larger than what is taken.
        InferenceError: an option that the model's task does not take.
    """
    listening = listen(host, port)
    compile_ahead(served, limits, sizes)
    server = make_server(served, limits)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn hears them once it runs, and passes them on at its end
        signal.signal(number, server.handle_exit)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}"
    print(f"{served.name} is served on {address} until Ctrl-C; images go to POST {address}/predict", flush=True)
    server.run(sockets=[listening])
    print("Stopped.", file=sys.stderr)


def make_server(served: Served, limits: Limits) -> uvicorn.Server:
    """What answers, and keeps all bounds, once it is run on a socket."""
    return uvicorn.Server(
        uvicorn.Config(
            make_app(served, limits),
            http=bounded(limits.seconds),
            log_level="warning",
            access_log=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=math.ceil(limits.seconds),
            server_header=False,
        )
    )


def compile_ahead(served: Served, limits: Limits, sizes: Sequence[tuple[int, int]]) -> None:
    """Bring blank images of each size through the model, in batches of every size that requests will come in.

    Raises:
        ServeError: a size has more pixels than are taken.
    """
    for height, width in sizes:
        most = min(limits.batch, max(1, WHOLE // (side_for(height) * side_for(width))))
        if height * width > limits.pixels * 10**6:
            raise ServeError(
                f"--size {height} {width} is of {height * width / 1e6:.1f} megapixels, and images of {limits.pixels} "
                "are taken: give a smaller one, or more --pixels."
            )
        print(f"Compiling for images of {height}x{width} pixels ...", file=sys.stderr)
        begin = time.monotonic()
        count = 1
        while count <= most:
            served.predict([served.images.blank((height, width))] * count)
            count *= 2
        print(f"Compiled in {time.monotonic() - begin:.1f} s, for up to {count // 2} at once.", file=sys.stderr)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        ServeError: it is none, or cannot be listened on.
    """
    if not 0 <= port < 2**16:
        raise ServeError(f"--port is {port}: a port is a number from 0 to 65535.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except UnicodeError:  # of a label that is empty or over 63 letters, as in 127.0.0..1
        raise ServeError(f"--host is {host!r}, which is no address: name one such as 127.0.0.1.") from None
    except OSError as error:
        raise ServeError(
            f"{host}, port {port}, cannot be listened on ({error.strerror}): name another --port or --host."
        ) from error
