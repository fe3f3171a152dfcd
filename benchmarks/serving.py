"""`segjax serve` under load: `python -m benchmarks.serving [RUN]`, 5 minutes; with --write into docs/serve.md.

A server in a process of its own is asked over loopback by 1, 8 and 64 clients, each with a connection that it keeps,
in rounds that take turns: requests/s of all rounds together, and how long an answer takes. Then 10,000 small requests,
every fiftieth of them hostile, with the resident memory of the server as the system has it. Every answer is checked: an
image gives the bytes that it gave before, and a hostile file a refusal.
"""

import asyncio
import io
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from benchmarks import asked
from benchmarks.report import machine, markdown, versions
from segjax.cli.arguments import count

PAGE = Path(__file__).parents[1] / "docs" / "serve.md"
HEADING = "## Under load"
CLIENTS = (1, 8, 64)
SMALL = 64
"""The side of the images of the many requests."""
EVERY = 50
"""How often one of them is hostile."""


class Server(NamedTuple):
    """A server that runs."""

    process: int
    port: int

    def memory(self) -> float:
        """Resident, in MiB."""
        status = Path(f"/proc/{self.process}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._port, self._streams = port, None

    async def ask(self, body: bytes) -> Reply:
        """The reply to an image."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        said = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        content = await reader.readexactly(int(re.findall(r"content-length: (\d+)", said)[0]))
        if "connection: close" in said:
            self.close()
        return Reply(int(said.split()[1]), content)

    def close(self) -> None:
        """End it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@contextmanager
def serving(run: str, side: int) -> Iterator[Server]:
    """`segjax serve` in a process of its own, compiled for both sizes."""
    sizes = [word for length in (side, SMALL) for word in ("--size", str(length), str(length))]
    command = [sys.executable, "-m", "segjax", "serve", run, "--port", "0", "--queue", "256", *sizes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())
        if port is None:
            sys.exit(server.wait())  # it has said why
        try:
            yield Server(server.pid, int(port[1]))
        finally:
            server.terminate()
    assert server.returncode == 0, "the server did not stop cleanly"


async def load(port: int, clients: int, seconds: float, image: bytes, expected: bytes) -> list[float]:
    """How long every request took, in milliseconds."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def one() -> None:
        client = Client(port)
        while (begin := time.perf_counter()) < end:
            reply = await client.ask(image)
            taken.append(1e3 * (time.perf_counter() - begin))
            assert reply == (200, expected), reply.status
        client.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return taken


async def many(server: Server, number: int, image: bytes, expected: bytes) -> list[tuple[int, float]]:
    """The server's memory after some of many requests of 8 clients, hostile ones among them."""
    rest, done, seen = iter(range(number)), 0, [(0, server.memory())]
    bad = hostile(image)

    async def one() -> None:
        nonlocal done
        client = Client(server.port)
        for each in rest:
            reply = await client.ask(bad[each // EVERY % len(bad)] if each % EVERY == 0 else image)
            if each % EVERY:
                assert reply == (200, expected), reply.status
            else:
                assert reply.status in (413, 422), reply.status
            done += 1
            if done % max(number // 10, 1) == 0:
                seen.append((done, server.memory()))
        client.close()

    await asyncio.gather(*(one() for _ in range(8)))
    return seen


def hostile(image: bytes) -> list[bytes]:
    """What is no image, or more than one."""
    rng = random.Random(0)
    bomb = encoded(np.zeros((12000, 12000), np.uint8), "PNG")
    huge = image[:16] + (2**31 - 1).to_bytes(4, "big") * 2 + image[24:]
    return [
        b"",
        rng.randbytes(2000),
        image[: len(image) // 2],
        bomb,
        huge,
        b"<svg onload='alert(1)'/>",
        b"GIF89a" + image,
    ]


def encoded(pixels: np.ndarray, format: str) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def photo(side: int) -> bytes:
    """A square of scikit-learn's flower, as a JPEG or, where it is small, a PNG."""
    image = Image.fromarray(load_sample_image("flower.jpg")).crop((100, 0, 527, 427)).resize((side, side))
    return encoded(np.asarray(image), "PNG" if side <= SMALL else "JPEG")


async def measure(server: Server, side: int, rounds: int, seconds: float, requests: int) -> str:
    """Both tables."""
    image, small = photo(side), photo(SMALL)
    client = Client(server.port)
    expected, of_small = (await client.ask(image)).body, (await client.ask(small)).body
    client.close()
    taken: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    for number in range(rounds):
        for clients in CLIENTS if number % 2 == 0 else CLIENTS[::-1]:
            taken[clients] += await load(server.port, clients, seconds, image, expected)
    rows = [
        [str(clients), f"{len(ms) / (rounds * seconds):.0f}", *(f"{np.percentile(ms, q):.1f}" for q in (50, 99))]
        for clients, ms in taken.items()
    ]
    begin = time.perf_counter()
    seen = await many(server, requests, small, of_small)
    rate = requests / (time.perf_counter() - begin)
    memory = [[f"{done:,}", f"{mib:.1f}"] for done, mib in seen]
    return (
        f"{len(image) // 1024} kB of JPEG, {side}x{side} pixels, a PNG back; {rounds} rounds of {seconds:g} s:\n\n"
        f"{markdown(['clients', 'requests/s', 'p50, ms', 'p99, ms'], rows)}\n\n"
        f"{requests:,} requests of {SMALL}x{SMALL} pixels from 8 clients, {rate:.0f} a second, one in {EVERY} hostile "
        "(nothing, random bytes, cut short, a bomb of 144 megapixels, a header of 2^62 pixels, SVG, no GIF):\n\n"
        f"{markdown(['requests', 'resident memory, MiB'], memory)}\n"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print, or write."""
    parser = asked.parser(__doc__)
    parser.add_argument("run", nargs="?", default="selfie")
    parser.add_argument("--side", type=count, default=256)
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--requests", type=count, default=10_000)
    parser.add_argument("--write", action="store_true", help="into docs/serve.md")
    parsed = parser.parse_args(arguments)
    with serving(parsed.run, parsed.side) as server:
        tables = asyncio.run(measure(server, parsed.side, parsed.rounds, parsed.seconds, parsed.requests))
    with_versions = ", ".join(f"{name} {one}" for name, one in versions("jax", "uvicorn", "starlette").items())
    where = f"{machine()}, which the clients share; {with_versions}."
    text = f"{HEADING}\n\n`python -m benchmarks.serving`: `segjax serve {parsed.run}` on {where}\n\n{tables}"
    if parsed.write:
        before = PAGE.read_text().partition(HEADING)[0]
        PAGE.write_text(before + text)
    print(text)


if __name__ == "__main__":
    main()
